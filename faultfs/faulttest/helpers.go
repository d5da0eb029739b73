package faulttest

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"testing"

	"batpak/faultfs"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantErr(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error is %v, want %v", err, want)
	}
}

func create(t *testing.T, fsys faultfs.FS, name string) faultfs.File {
	t.Helper()
	f, err := fsys.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	must(t, err)
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func write(t *testing.T, fsys faultfs.FS, name, text string) {
	t.Helper()
	f := create(t, fsys, name)
	_, err := f.WriteAt([]byte(text), 0)
	must(t, err)
	must(t, f.Close())
}

func wantContents(t *testing.T, fsys faultfs.FS, name, want string) {
	t.Helper()
	got, err := fs.ReadFile(fsys, name)
	must(t, err)
	if string(got) != want {
		t.Fatalf("%s holds %q, want %q", name, got, want)
	}
}

func wantNames(t *testing.T, fsys faultfs.FS, folder string, want ...string) {
	t.Helper()
	entries, err := fsys.ReadDir(folder)
	must(t, err)
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if !slices.Equal(got, want) {
		t.Fatalf("folder %s holds %q, want %q", folder, got, want)
	}
}
