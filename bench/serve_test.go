package main

import "testing"

func TestTheBenchsPackIsOne(t *testing.T) {
	p, err := benchPack()
	if err != nil {
		t.Fatal(err)
	}
	if _, known := p.Kind("inspection"); known {
		t.Error("the workload's kind must be unknown to it")
	}
}
