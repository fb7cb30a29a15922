//go:build !linux

package testmain

func inMemory() {}
