package codec

import (
	"fmt"
	"strings"

	"batpak/causal"
)

// plain says which bytes stand for themselves in a subject token.
var plain = func() (set [256]bool) {
	for c := range 256 {
		b := byte(c)
		set[c] = 'A' <= b && b <= 'Z' || 'a' <= b && b <= 'z' || '0' <= b && b <= '9' ||
			b != 0 && strings.IndexByte("-_:~@+=,!$&'();", b) >= 0
	}
	return set
}()

const upperHex = "0123456789ABCDEF"

// EscapeToken returns the one form that a scope or entity has as a token of a NATS subject:
// the bytes A-Z a-z 0-9 - _ : ~ @ + = , ! $ & ' ( ) ; as they are, every other byte as %XX. It
// returns name itself when there is nothing to escape.
func EscapeToken(name string) string {
	escapes := 0
	for i := range len(name) {
		if !plain[name[i]] {
			escapes++
		}
	}
	if escapes == 0 {
		return name
	}
	return string(AppendToken(make([]byte, 0, len(name)+2*escapes), name))
}

// AppendToken appends what EscapeToken returns.
func AppendToken[T string | []byte](dst []byte, name T) []byte {
	for i := range len(name) {
		if c := name[i]; plain[c] {
			dst = append(dst, c)
		} else {
			dst = append(dst, '%', upperHex[c>>4], upperHex[c&0xf])
		}
	}
	return dst
}

// UnescapeToken returns the scope or entity that a token stands for. Only what EscapeToken
// returns is accepted, and only for a name that passes causal.CheckName: not lower-case hex,
// an escape that is not needed, a byte outside the set, or more than causal.MaxName bytes.
// Its errors match ErrMalformed.
func UnescapeToken(token string) (string, error) {
	name := token
	if strings.IndexByte(token, '%') >= 0 {
		if len(token) > 3*causal.MaxName {
			return "", tokenError(0, fmt.Sprintf("has %d bytes, the limit is %d", len(token), 3*causal.MaxName))
		}
		buf := make([]byte, 0, len(token))
		for i := 0; i < len(token); i++ {
			c := token[i]
			if c == '%' {
				if i+2 >= len(token) {
					return "", tokenError(i, "an escape is cut off")
				}
				hi, lo := strings.IndexByte(upperHex, token[i+1]), strings.IndexByte(upperHex, token[i+2])
				if hi < 0 || lo < 0 {
					return "", tokenError(i, "an escape is % and two upper-case hex digits")
				}
				c = byte(hi<<4 | lo)
				if plain[c] {
					return "", tokenError(i, "an escape that is not needed")
				}
				i += 2
			} else if !plain[c] {
				return "", tokenError(i, "a byte that must be escaped")
			}
			buf = append(buf, c)
		}
		name = string(buf)
	} else {
		for i := range len(token) {
			if !plain[token[i]] {
				return "", tokenError(i, "a byte that must be escaped")
			}
		}
	}
	if err := causal.CheckName("name", name); err != nil {
		return "", tokenError(-1, err.Error())
	}
	return name, nil
}

func tokenError(off int, reason string) error {
	return &Error{Op: "token", Offset: off, Reason: reason}
}
