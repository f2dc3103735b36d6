package main

import (
	"os"
	"path/filepath"
	"runtime/pprof"
)

// ownProfile writes a profile of the devices' and readers' process until end is called; "" for none.
func ownProfile(dir string) (end func(), err error) {
	if dir == "" {
		return func() {}, nil
	}
	f, err := os.Create(filepath.Join(dir, "push-clients.pprof"))
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, err
	}
	return func() {
		pprof.StopCPUProfile()
		_ = f.Close() // a profile that is cut is seen by whoever reads it
	}, nil
}
