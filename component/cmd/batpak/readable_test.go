package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
)

func TestAReceiptProvesWhatTheFileOfItsEventSays(t *testing.T) {
	t.Parallel()
	seed := filepath.Join(t.TempDir(), "orders.nk")
	public := strings.TrimSpace(must(t, "", "signer", "--new", seed))
	s := serve(t, journalDir(t), "--signer", seed, "--seal", "entity")
	s.run("", "append", "shop/ada", "--kind", "0x1001", "1")
	sealedReceipt := s.run("", "append", "shop/ada", "--kind", "0x1001", `{"cents":1}`, "--json")
	sealed, opened := s.run("", "get", "2", "--json"), s.run("", "open", "2", "--json")
	s.drain()
	s = serve(t, journalDir(t), "--signer", seed)
	receipt := s.run("", "append", "shop/ada", "--kind", "0x1001", `{"cents":500,"big":18446744073709551615,"list":[1.5,{"a":1}]}`, "--meta", "by=me", "--key", "k1", "--json")
	event, plain := s.run("", "get", "1", "--json"), s.run("", "open", "1", "--json")
	s.drain()

	var object map[string]json.RawMessage
	if err := json.Unmarshal([]byte(event), &object); err != nil {
		t.Fatal(err)
	}
	indented, err := json.MarshalIndent(object, "", " ") // and sorted
	if err != nil {
		t.Fatal(err)
	}
	prove := func(receipt, event string) result {
		t.Helper()
		return batpak(t, "", "verify", "--receipt", write(t, receipt), "--envelope", write(t, event), "--key", public)
	}
	for what, c := range map[string]struct{ receipt, event string }{
		"as it is":            {receipt, event},
		"opened":              {receipt, plain},
		"the envelope alone":  {receipt, `{"envelope":` + string(object["envelope"]) + `}`},
		"written otherwise":   {receipt, string(indented)},
		"an escaped name":     {receipt, strings.Replace(event, `"ada"`, `"\u0061da"`, 1)},
		"a number as another": {receipt, strings.Replace(event, `"cents":500`, `"cents":5.00e2`, 1)},
		"sealed":              {sealedReceipt, sealed},
	} {
		if r := prove(c.receipt, c.event); r.code != exitDone || !strings.HasPrefix(r.out, "valid\t1\t") || r.err != "" {
			t.Errorf("%s: exit code %d, %s%s\n%s", what, r.code, r.out, r.err, c.event)
		}
	}
	if r := prove(sealedReceipt, opened); r.code != exitDone || !strings.Contains(r.err, `"opened" is not proved`) {
		t.Errorf("opened of a sealed event: exit code %d, %s%s", r.code, r.out, r.err)
	}
	more := func(event, keys string) string { return strings.Replace(event, "{", "{"+keys+",", 1) }
	for _, c := range []struct{ receipt, event, old, text, want string }{
		{receipt, event, `"cents":500`, `"cents":5`, "another data"},
		{receipt, event, `18446744073709551615`, `18446744073709551614`, "another data"},
		{receipt, event, `{"a":1}`, `{"a":1,"b":2}`, "another data"},
		{receipt, event, `{"a":1}`, `{"a":2,"a":1}`, "another data"},
		{receipt, event, `"ada"`, `"eve"`, "another entity"},
		{receipt, event, `"kind":4097`, `"kind":4098`, "another kind"},
		{receipt, event, `"k1"`, `"k2"`, "another key"},
		{receipt, event, `"by":"me"`, `"by":"you"`, "another meta"},
		{receipt, event, `"hash":"`, `"hash":"0`, "another hash"},
		{receipt, more(event, `"entity":"eve"`), "", "", "another entity"},
		{receipt, more(event, `"Entity":"eve"`), "", "", `the key "Entity"`},
		{receipt, more(event, `"paid":true`), "", "", `the key "paid"`},
		{receipt, more(event, `"subject":"ada"`), "", "", `the key "subject"`},
		{receipt, plain, `"opened":{"big":1`, `"opened":{"big":2`, "another opened"},
		{receipt, plain, `"plain"`, `"opened"`, "another state"},
		{sealedReceipt, sealed, `"data":"`, `"data":"AAAA`, "another data"},
		{sealedReceipt, more(sealed, `"state":"plain"`), "", "", `the key "state"`},
		{sealedReceipt, more(sealed, `"opened":2`), "", "", `the key "opened"`},
	} {
		event := strings.Replace(c.event, c.old, c.text, 1)
		if r := prove(c.receipt, event); r.code != exitDamaged || !strings.HasPrefix(r.out, "not valid\t0\t") || !strings.Contains(r.out, c.want) {
			t.Errorf("%s: exit code %d, %s%s\n%s", c.want, r.code, r.out, r.err, event)
		}
	}
	for _, event := range []string{"{}", `{"envelope":1}`, `{"envelope":"?"}`, event + event, `{"envelope"`, strings.Repeat(`{"a":`, 1<<20)} {
		if r := prove(receipt, event); r.code != exitFailed || r.out != "" {
			t.Errorf("%q: exit code %d, %s%s", event, r.code, r.out, r.err)
		}
	}
}
