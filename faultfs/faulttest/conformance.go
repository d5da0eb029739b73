package faulttest

import (
	"testing"

	"batpak/faultfs"
)

// Conformance checks that an FS does what [faultfs.FS] and [faultfs.File]
// promise to a program that runs, each promise in a subtest of its own. newFS
// makes an empty FS for one subtest, and ends it with the t it is given.
//
// Where the contract leaves the error open, any error passes. Locks must work;
// an FS that cannot lock does not conform.
func Conformance(t *testing.T, newFS func(t *testing.T) faultfs.FS) {
	t.Helper()
	for _, test := range []struct {
		name string
		run  func(t *testing.T, fsys faultfs.FS)
	}{
		{"ReadsLikeAnyFS", readsLikeAnyFS},
		{"RefusesNamesThatAreNotValid", refusesBadNames},
		{"RefusesFlagsOutsideTheContract", refusesOddFlags},
		{"CreateKinds", createKinds},
		{"TruncatingOpenMakesAndEmpties", truncatingOpens},
		{"FoldersDoNotOpenForWriting", foldersRefuseWriters},
		{"ReadDirIsSortedAndTellsFolders", listsFolders},
		{"RenameReplaces", renames},
		{"RenameOntoItselfKeepsTheFile", renamesOntoItself},
		{"RemoveTakesFilesAndEmptyFolders", removes},
		{"OpenHandleOutlivesItsName", handlesOutliveNames},
		{"SyncDirWantsAFolder", syncsFolders},
		{"LockExcludesThisProcessToo", locks},
		{"LockFileIsAFile", lockFiles},
		{"PublishReplacesWholeFiles", publishes},
		{"WritesAndReadsAtOffsets", writesAtOffsets},
		{"ReadingEndsWithEOF", readsToEOF},
		{"WritingPastTheEndLeavesZeros", writesPastTheEnd},
		{"NegativeOffsetsAreRefused", refusesNegativeOffsets},
		{"StatTellsTheSize", tellsSizes},
		{"TruncateGrowsWithZeros", truncates},
		{"AllocateGrowsWithZerosAndKeepsBytes", allocates},
		{"SyncsChangeNothingThatIsRead", syncs},
		{"HandlesOfOneFileShareItsBytes", handlesShareBytes},
		{"ReadOnlyHandleRefusesChanges", readOnlyHandles},
		{"WriteOnlyHandleRefusesReads", writeOnlyHandles},
		{"ClosedFileRefuses", closedFiles},
		{"ConcurrentWritersKeepTheirRanges", concurrentWrites},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, newFS(t)) })
	}
}
