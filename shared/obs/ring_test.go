package obs

import (
	"fmt"
	"strings"
	"testing"

	"go.uber.org/zap"
)

func TestARingKeepsTheNewestLines(t *testing.T) {
	r := NewRing(2000)
	log := r.Keep(zap.NewNop()).Named("room").With(zap.String("request", "r-1"))
	for i := range 500 {
		log.Debug("not kept")
		log.Info(fmt.Sprintf("line %d", i))
	}
	var b strings.Builder
	n, err := r.WriteTo(&b)
	text := b.String()
	if err != nil || n != int64(len(text)) || n > 2000 || n < 1500 {
		t.Errorf("%d bytes, %v: %s", n, err, text)
	}
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if last := lines[len(lines)-1]; !strings.Contains(last, `"line 499"`) || !strings.Contains(last, `"request":"r-1"`) || !strings.Contains(last, `"logger":"room"`) {
		t.Errorf("the last is %s", last)
	}
	if strings.Contains(text, "not kept") || strings.Contains(text, `"line 0"`) {
		t.Errorf("kept: %s", text)
	}
}
