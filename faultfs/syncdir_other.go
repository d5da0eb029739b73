//go:build !windows

package faultfs

import "os"

func syncFolder(f *os.File) error { return f.Sync() }
