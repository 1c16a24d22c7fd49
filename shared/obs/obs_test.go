package obs

import (
	"testing"

	"go.uber.org/zap/zapcore"
)

func TestLogger(t *testing.T) {
	for _, format := range []string{"json", "text"} {
		log, err := NewLogger("warn", format)
		if err != nil {
			t.Fatal(err)
		}
		if log.Core().Enabled(zapcore.InfoLevel) || !log.Core().Enabled(zapcore.WarnLevel) {
			t.Errorf("%s: the level isn't kept", format)
		}
	}
	if _, err := NewLogger("loud", "json"); err == nil {
		t.Error("level loud passed")
	}
	if _, err := NewLogger("info", "xml"); err == nil {
		t.Error("format xml passed")
	}
}

func TestRegistryTellsTheVersion(t *testing.T) {
	families, err := NewRegistry("test").Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "kubilitics_build_info" {
			return
		}
	}
	t.Error("kubilitics_build_info is missing")
}
