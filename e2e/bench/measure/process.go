package measure

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// Peak is the most memory that a process has had resident since its start, in KiB: VmHWM.
func Peak(pid int) (float64, error) { return statusOf(pid, "VmHWM:") }

// Resident is what it has now, in KiB: VmRSS.
func Resident(pid int) (float64, error) { return statusOf(pid, "VmRSS:") }

func statusOf(pid int, field string) (float64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, field); ok {
			return strconv.ParseFloat(strings.Fields(rest)[0], 64)
		}
	}
	return 0, fmt.Errorf("process %d tells no %s", pid, field)
}

// Tick is the grain of CPUOf: the system counts the time of other processes in hundredths of a second.
const Tick = 10 * time.Millisecond

// CPUOf is the processor time that a process has used, in user and system together, by all its threads.
func CPUOf(pid int) (time.Duration, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	fields := bytes.Fields(raw[bytes.LastIndexByte(raw, ')')+1:]) // a program's name may have anything in it
	if len(fields) < 13 {
		return 0, fmt.Errorf("process %d has a stat that ends early", pid)
	}
	var ticks int64
	for _, f := range fields[11:13] { // utime and stime
		n, err := strconv.ParseInt(string(f), 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * Tick, nil
}
