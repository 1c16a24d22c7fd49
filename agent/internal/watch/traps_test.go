package watch

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// TestThe501stObject: nothing ends at the 500th, however the list is read, and one that is deleted while the watch is away is found gone even though
// nobody tells of it.
func TestThe501stObject(t *testing.T) {
	for name, fault := range map[string]func(*fakeKind){
		"streamed": func(*fakeKind) {},
		"in pages": func(k *fakeKind) { k.refuse["stream"] = http.StatusUnprocessableEntity },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFakeAPI(t, pods)
			f.with("pods", fault)
			want := make([]string, 501)
			for i := range want {
				f.put("pods", "shop", fmt.Sprint("p", i), "")
				want[i] = fmt.Sprint("Pod shop/p", i)
			}
			v := watchFake(t, f, nil)
			v.sync()
			v.wants(want...)
			f.remove("pods", "shop", "p500", true)
			f.cutAll()
			v.wants(want[:500]...)
		})
	}
}

// TestObjectOf1MiB comes through like any other, in a list, a stream and as news, and so does what comes after it.
func TestObjectOf1MiB(t *testing.T) {
	filler := `"data":{"a":"` + strings.Repeat("0123456789abcdef", 1<<16) + `"}`
	for name, fault := range map[string]func(*fakeKind){
		"streamed": func(*fakeKind) {},
		"in pages": func(k *fakeKind) { k.refuse["stream"] = http.StatusUnprocessableEntity },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFakeAPI(t, pods)
			f.with("pods", fault)
			f.put("pods", "shop", "large", filler)
			f.put("pods", "shop", "small", "")
			v := watchFake(t, f, nil)
			v.sync()
			v.wants("Pod shop/large", "Pod shop/small")
			f.put("pods", "shop", "another", filler)
			f.put("pods", "shop", "last", "")
			v.wants("Pod shop/large", "Pod shop/small", "Pod shop/another", "Pod shop/last")
		})
	}
}
