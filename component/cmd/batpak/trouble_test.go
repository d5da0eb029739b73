package main

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
)

func TestAFlagThatIsNoNumberIsToldInWords(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"graph 1 --depth -1":                `"-1" for "--depth" flag: it is not a number, of 0 or more`,
		"read --after x":                    `"x" for "--after" flag: it is not a number, of 0 or more`,
		"read --after 99999999999999999999": `it is out of range`,
		"import git . --inflight x":         `"x" for "--inflight" flag: it is not a number`,
		"--json=maybe read":                 `it is neither true nor false`,
		"serve --heads x":                   `invalid duration "x"`,
	} {
		r := batpak(t, "", strings.Fields(args)...)
		if r.code != exitUsage || !strings.Contains(r.err, want) || strings.Contains(r.err, "strconv") {
			t.Errorf("%s: exit code %d, %s", args, r.code, r.err)
		}
	}
}

func TestTheCodeOfAnErrorSaysWhoseItIs(t *testing.T) {
	t.Parallel()
	is := func(r result, exit int, code string) {
		t.Helper()
		var told struct{ Code string }
		if err := json.Unmarshal([]byte(r.err), &told); err != nil || r.code != exit || told.Code != code {
			t.Errorf("exit code %d, %v: %s", r.code, err, r.err)
		}
	}
	s := serve(t, journalDir(t), "--onward", "none")
	is(s.try("", "--json", "read", "--after", "x"), exitUsage, "usage")
	is(s.try("", "--json", "head"), exitUsage, "usage")
	is(s.try("", "--json", "get", "7"), exitRefused, "not_found")
	is(s.try("", "--json", "get", "7", "--journal", "other"), exitFailed, "failed")

	code, text := explain(context.Canceled)
	is(result{"", string(errorJSON(code, context.Canceled, text)), code}, exitInterrupted, "interrupted")
}
