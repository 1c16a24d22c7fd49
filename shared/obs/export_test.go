package obs

import "context"

// Flush sends what there is.
func Flush(ctx context.Context, t *Tracer) error { return t.provider.ForceFlush(ctx) }
