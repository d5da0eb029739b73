package projection

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"strings"
	"testing"

	"batpak/causal"
)

func sample() checkpoint {
	c := checkpoint{version: 3, state: []byte{0x81, 0xa1, 'n', 0x2a}}
	c.seq = 0x0102030405060708
	for i := range c.lineage {
		c.lineage[i] = byte(i + 1)
	}
	for i := range c.hash {
		c.hash[i] = byte(0x80 + i)
	}
	return c
}

func TestCheckpointHasTheDocumentedBytes(t *testing.T) {
	golden, err := os.ReadFile("testdata/checkpoint.hex")
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Join(strings.Fields(string(golden)), "")
	c := sample()
	if got := hex.EncodeToString(appendCheckpoint(nil, &c)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestCheckpointComesBackAsItWas(t *testing.T) {
	c := sample()
	got, err := decodeCheckpoint(appendCheckpoint([]byte("before"), &c)[len("before"):])
	if err != nil || got.position != c.position || got.version != c.version || !bytes.Equal(got.state, c.state) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestADamagedCheckpointIsRefused(t *testing.T) {
	c := sample()
	good := appendCheckpoint(nil, &c)
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 0x10
		if _, err := decodeCheckpoint(bad); !errors.Is(err, ErrCheckpoint) {
			t.Errorf("byte %d changed: %v", i, err)
		}
		if _, err := decodeCheckpoint(good[:i]); !errors.Is(err, ErrCheckpoint) {
			t.Errorf("cut to %d bytes: %v", i, err)
		}
	}
	for name, change := range map[string]func(*checkpoint){
		"no sequence":      func(c *checkpoint) { c.seq = 0 },
		"no lineage":       func(c *checkpoint) { c.lineage = causal.Lineage{} },
		"no hash":          func(c *checkpoint) { c.hash = causal.Hash{} },
		"no state":         func(c *checkpoint) { c.state = nil },
		"huge state array": func(c *checkpoint) { c.state = []byte{0xdd, 0xff, 0xff, 0xff, 0xff} },
	} {
		c := sample()
		change(&c)
		if _, err := decodeCheckpoint(appendCheckpoint(nil, &c)); !errors.Is(err, ErrCheckpoint) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What is accepted is exactly what was encoded; everything else is a typed refusal.
func FuzzCheckpoint(f *testing.F) {
	c := sample()
	f.Add(appendCheckpoint(nil, &c))
	f.Add([]byte(checkpointMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := decodeCheckpoint(b)
		if err != nil {
			if !errors.Is(err, ErrCheckpoint) {
				t.Fatal(err)
			}
			return
		}
		if again := appendCheckpoint(nil, &c); !bytes.Equal(again, b) {
			t.Errorf("%x came back as %x", b, again)
		}
	})
}
