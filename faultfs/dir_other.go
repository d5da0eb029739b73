//go:build !linux

package faultfs

import "errors"

// SyncData is Sync: these systems have no call that syncs less, or none that
// can be trusted.
func (f *osFile) SyncData() error { return f.Sync() }

// Writeback is Sync for the same reason.
func (f *osFile) Writeback() error { return f.Sync() }

func (f *osFile) reserve(off, n int64) error { return errors.ErrUnsupported }
