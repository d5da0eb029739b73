package faultfs

import (
	"os"
	"testing"
)

func TestFillingWithZerosReservesAndKeepsBytes(t *testing.T) {
	f, err := os.Create(t.TempDir() + "/f")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte("kept"), 0); err != nil {
		t.Fatal(err)
	}
	for _, size := range []int64{600_000, 5} { // never shorter
		if err := fillZeros(f, size); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != "kept"+string(make([]byte, 600_000-4)) {
		t.Fatalf("the file has %d bytes that begin with %q", len(got), got[:min(8, len(got))])
	}
}
