package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime/pprof"
)

// profileTo writes a CPU profile of this process into dir until stop is called; "" for none.
func profileTo(dir string, server bool) (stop func(), err error) {
	if dir == "" {
		return func() {}, nil
	}
	name := "phones.pprof"
	if server {
		name = fmt.Sprintf("server-%d.pprof", os.Getpid())
	}
	f, err := os.Create(filepath.Join(dir, name))
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, err
	}
	return func() {
		pprof.StopCPUProfile()
		_ = f.Close()
	}, nil
}
