package relational

import (
	"encoding/json"
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/kubilitics/kubilitics/shared/topo"
)

// Pairs are stored as a JSON object, so that a person (and SQL) can read them, with the order kept: hashes depend on it. No pairs are "".

var errPairs = errors.New("the column holds no JSON object of strings")

// EncodePairs gives the column's text.
func EncodePairs(ps []topo.Pair) string {
	if len(ps) == 0 {
		return ""
	}
	size := 2
	for i := range ps {
		size += len(ps[i].Key) + len(ps[i].Value) + 6
	}
	return string(AppendPairs(make([]byte, 0, size), ps))
}

// AppendPairs appends the column's text.
func AppendPairs(buf []byte, ps []topo.Pair) []byte {
	if len(ps) == 0 {
		return buf
	}
	for i := range ps {
		buf = append(buf, "{,"[min(i, 1)])
		buf = appendQuoted(buf, ps[i].Key)
		buf = append(buf, ':')
		buf = appendQuoted(buf, ps[i].Value)
	}
	return append(buf, '}')
}

func appendQuoted(buf []byte, s string) []byte {
	if !plain(s) {
		quoted, _ := json.Marshal(s) // a string always has a JSON form
		return append(buf, quoted...)
	}
	buf = append(buf, '"')
	buf = append(buf, s...)
	return append(buf, '"')
}

// plain tells a text that stands in JSON as it is.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// DecodePairs reads what EncodePairs wrote; anything else is an error, since a corrupted column must not go unnoticed.
func DecodePairs(text string) ([]topo.Pair, error) {
	if text == "" {
		return nil, nil
	}
	if !utf8.ValidString(text) {
		return nil, errPairs
	}
	ps := make([]topo.Pair, 0, strings.Count(text, `":"`)+1)
	rest := text
	for i := 0; ; i++ {
		var p topo.Pair
		var err error
		if len(rest) == 0 || rest[0] != "{,"[min(i, 1)] {
			return nil, errPairs
		}
		if p.Key, rest, err = cutQuoted(rest[1:]); err != nil {
			return nil, err
		}
		if len(rest) == 0 || rest[0] != ':' {
			return nil, errPairs
		}
		if p.Value, rest, err = cutQuoted(rest[1:]); err != nil {
			return nil, err
		}
		ps = append(ps, p)
		if rest == "}" {
			return ps, nil
		}
	}
}

func cutQuoted(s string) (value, rest string, err error) {
	if len(s) == 0 || s[0] != '"' {
		return "", "", errPairs
	}
	escaped := false
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c < ' ':
			return "", "", errPairs
		case c == '\\':
			escaped = true
			i++
		case c == '"':
			if !escaped {
				return s[1:i], s[i+1:], nil
			}
			err = json.Unmarshal([]byte(s[:i+1]), &value)
			return value, s[i+1:], err
		}
	}
	return "", "", errPairs
}
