package keystore

import (
	"testing"

	"batpak/faultfs"
	"batpak/faultfs/faulttest"
)

// Each token is what an exploration printed when the defect was in the code, and replays the experiment that it
// showed in. It holds as long as the workload and the operations of the keystore are what they were; when they
// change, put the defect back, run TestExploreKeyset or TestExploreRekey, and take the token that it prints.
func TestDefectsStayMended(t *testing.T) {
	keyset := func(*testing.T) faulttest.Test {
		return faulttest.Test{Model: faultfs.POSIX, Steps: 18, Run: exploredWorkload, Check: exploredCheck}
	}
	for _, d := range []struct {
		defect string
		test   func(*testing.T) faulttest.Test
		token  string
	}{
		{"a state that is not durable is followed by the other one", keyset, "1.0.79.1.0.1x4.52.3.0.1.4"},
		{"a state is not written again after a sync that failed", keyset, "10.0x2.1.0.1"},
		{"a state that is not whole is not made whole before records are written", keyset, "1.0.81.1x2.0.1.0.6.1.0x3.1"},
		{"what was seen of the log is forgotten when it could not be written", keyset, "10.46.4"},
		{"records are ignored after one reading that went wrong", keyset, "4.0.64.1.0.1.0x3.1x2.5.2"},
		{"a key is wiped whose record no durable state counts", rekeyTest, "1.0.11.1.0.1.0x3.1x2.0.9.1.7"},
	} {
		t.Run(d.defect, func(t *testing.T) {
			if err := faulttest.Replay(t, d.test(t), faulttest.Options{}, d.token); err != nil {
				t.Error(err)
			}
		})
	}
}
