package faultfs

import (
	"fmt"
	"math/bits"
	"strings"
)

// Op is a set of operations. An operation that passes through an [Injector] is
// one bit, except a create, which is OpOpen|OpCreate.
type Op uint

const (
	OpOpen      Op = 1 << iota // FS.Open and FS.OpenFile, with or without O_CREATE
	OpCreate                   // FS.OpenFile with os.O_CREATE, also when the file exists
	OpRead                     // File.Read
	OpReadAt                   // File.ReadAt
	OpWrite                    // File.WriteAt
	OpSync                     // File.Sync
	OpSyncData                 // File.SyncData
	OpWriteback                // File.Writeback
	OpSyncDir                  // FS.SyncDir
	OpRename                   // FS.Rename
	OpRemove                   // FS.Remove
	OpMkdir                    // FS.Mkdir
	OpTruncate                 // File.Truncate
	OpAllocate                 // File.Allocate
	OpLock                     // FS.Lock
	OpReadDir                  // FS.ReadDir, and ReadDir of a folder's handle

	opEnd
)

// OpAny is every operation.
const OpAny = opEnd - 1

// OpChange is every operation that can change what is on the disk, or make it
// durable. OpWriteback is not one of them: it promises nothing.
const OpChange = OpCreate | OpWrite | OpSync | OpSyncData | OpSyncDir | OpRename | OpRemove | OpMkdir |
	OpTruncate | OpAllocate | OpLock

var opNames = [...]string{"open", "create", "read", "readat", "write", "sync", "syncdata", "writeback", "syncdir",
	"rename", "remove", "mkdir", "truncate", "allocate", "lock", "readdir"}

// String is the names of the operations joined by "|", such as "open|create".
func (o Op) String() string {
	var names []string
	for rest := o & OpAny; rest != 0; rest &= rest - 1 {
		names = append(names, opNames[bits.TrailingZeros(uint(rest))])
	}
	if odd := o &^ OpAny; odd != 0 || len(names) == 0 {
		names = append(names, fmt.Sprintf("%#x", uint(odd)))
	}
	return strings.Join(names, "|")
}

// Call is one operation as it was asked for.
type Call struct {
	Op   Op
	Name string // in the FS that was injected into
	To   string // the new name of a rename
	Off  int64  // of ReadAt, WriteAt and Allocate, in bytes
	Site string // the functions that asked, innermost last; see Injector.NoteSites
	Len  int64  // of Read, ReadAt, WriteAt and Allocate, in bytes; the new size for Truncate
}

// String is one line, such as "write segments/1.seg 4096+512".
func (c Call) String() string {
	s := c.Op.String() + " " + c.Name
	switch {
	case c.To != "":
		s += " -> " + c.To
	case c.Op&OpTruncate != 0:
		s += fmt.Sprintf(" %d", c.Len)
	case c.Op&(OpRead|OpReadAt|OpWrite|OpAllocate) != 0:
		s += fmt.Sprintf(" %d+%d", c.Off, c.Len)
	}
	return s
}
