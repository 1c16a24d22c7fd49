package tunnel

// Muxed is the number of streams that yamux still knows.
func (s *Session) Muxed() int { return s.mux.NumStreams() }
