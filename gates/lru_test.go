package gates

import "testing"

func TestLRUDropsWhatWasNotUsedForLongest(t *testing.T) {
	l := newLRU[string, int](3)
	for i, k := range []string{"a", "b", "c"} {
		l.put(k, i)
	}
	l.get("a")
	l.put("b", 9)
	l.put("d", 3) // c has to go
	if len(l.entries) != 3 || l.entries["a"] == nil {
		t.Errorf("a went, though it was used after c: %v", l.entries)
	}
	l.put("e", 4) // then a
	for k, want := range map[string]int{"b": 9, "d": 3, "e": 4} {
		if v, ok := l.get(k); !ok || v != want {
			t.Errorf("%s: %d, %v", k, v, ok)
		}
	}
	for _, k := range []string{"a", "c"} {
		if _, ok := l.get(k); ok {
			t.Errorf("%s is still there", k)
		}
	}
	if len(l.entries) != 3 {
		t.Errorf("%d entries", len(l.entries))
	}
	l.clear()
	if _, ok := l.get("b"); ok || len(l.entries) != 0 {
		t.Error("clear left something")
	}
	l.put("f", 1)
	if v, ok := l.get("f"); !ok || v != 1 {
		t.Error("cannot be used after clear")
	}
}
