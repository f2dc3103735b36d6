// Command protogen writes the Go code of the module's .proto files, without protoc.
//
// It compiles each file named on the command line (paths relative to -root) with protocompile and hands
// the result to the code generator of protoc-gen-go, in this process. The same input and the same go.mod
// always give the same bytes: nothing of the machine, the clock or an installed protoc enters the output.
//
// Usage:
//
//	protogen -root DIR [-check] FILE.proto...
//
// With -check nothing is written; a generated file that is missing or differs is named and the exit code is 1.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/cmd/protoc-gen-go/internal_gengo"
	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"
)

var errStale = errors.New("generated code is stale; run `task generate` and commit the result")

func main() {
	root := flag.String("root", ".", "module root: .proto files are named and written relative to it")
	check := flag.Bool("check", false, "write nothing, fail when a generated file differs")
	flag.Parse()
	if err := run(*root, *check, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "protogen:", err)
		os.Exit(1)
	}
}

func run(root string, check bool, names []string) error {
	if len(names) == 0 {
		return errors.New("no .proto file named")
	}
	generated, err := generate(root, names)
	if err != nil {
		return err
	}
	stale := false
	for _, f := range generated {
		target := filepath.Join(root, filepath.FromSlash(f.GetName()))
		content := []byte(f.GetContent())
		if !check {
			if err := os.WriteFile(target, content, 0o644); err != nil {
				return err
			}
			continue
		}
		have, err := os.ReadFile(target)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		if !bytes.Equal(have, content) {
			fmt.Fprintln(os.Stderr, "stale:", f.GetName())
			stale = true
		}
	}
	if stale {
		return errStale
	}
	return nil
}

// generate returns the generated files, each named relative to root.
func generate(root string, names []string) ([]*pluginpb.CodeGeneratorResponse_File, error) {
	compiler := protocompile.Compiler{
		Resolver: protocompile.WithStandardImports(&protocompile.SourceResolver{ImportPaths: []string{root}}),
		// Comments of the .proto become doc comments of the Go code.
		SourceInfoMode: protocompile.SourceInfoStandard,
	}
	files, err := compiler.Compile(context.Background(), names...)
	if err != nil {
		return nil, err
	}
	request := &pluginpb.CodeGeneratorRequest{
		FileToGenerate: names,
		// Next to the source file, whatever the import path says.
		Parameter: proto.String("paths=source_relative"),
	}
	seen := map[string]bool{}
	for _, file := range files {
		addWithImports(request, seen, file)
	}
	plugin, err := protogen.Options{}.New(request)
	if err != nil {
		return nil, err
	}
	plugin.SupportedFeatures = internal_gengo.SupportedFeatures
	plugin.SupportedEditionsMinimum = internal_gengo.SupportedEditionsMinimum
	plugin.SupportedEditionsMaximum = internal_gengo.SupportedEditionsMaximum
	for _, file := range plugin.Files {
		if file.Generate {
			internal_gengo.GenerateFile(plugin, file)
		}
	}
	response := plugin.Response()
	if response.Error != nil {
		return nil, errors.New(response.GetError())
	}
	for _, f := range response.File {
		f.Content = proto.String(nameGenerator(f.GetContent()))
	}
	return response.File, nil
}

// addWithImports appends file after everything it imports, which is the order a generator relies on.
func addWithImports(request *pluginpb.CodeGeneratorRequest, seen map[string]bool, file protoreflect.FileDescriptor) {
	if seen[file.Path()] {
		return
	}
	seen[file.Path()] = true
	imports := file.Imports()
	for i := range imports.Len() {
		addWithImports(request, seen, imports.Get(i).FileDescriptor)
	}
	var descriptor *descriptorpb.FileDescriptorProto = protodesc.ToFileDescriptorProto(file)
	request.ProtoFile = append(request.ProtoFile, descriptor)
}

// nameGenerator replaces the line on the protoc version, of which there is none, by a true one.
func nameGenerator(content string) string {
	lines := strings.SplitAfter(content, "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, "// ") && strings.Contains(line, "protoc ") && strings.Contains(line, "(unknown)") {
			lines[i] = "// \tprotocompile (.tools/protogen)\n"
		}
	}
	return strings.Join(lines, "")
}
