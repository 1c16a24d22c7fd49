//go:build unix

package hub

import "golang.org/x/sys/unix"

// room is how many bytes are free for this process where a directory is, and how many there are; 0 where that can't be learned.
func room(dir string) (free, size float64) {
	var st unix.Statfs_t
	if unix.Statfs(dir, &st) != nil {
		return 0, 0
	}
	return float64(st.Bavail) * float64(st.Bsize), float64(st.Blocks) * float64(st.Bsize)
}
