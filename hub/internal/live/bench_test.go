package live

import (
	"context"
	"fmt"
	"sync"
	"testing"
)

// What it costs to tell one change to each of many subscribers, filtering included.
func BenchmarkFanOut(b *testing.B) {
	for _, subscribers := range []int{100, 5000} {
		b.Run(fmt.Sprint(subscribers), func(b *testing.B) {
			f := newFeed()
			l := New(Config{Store: f})
			ctx, cancel := context.WithCancel(b.Context())
			done := make(chan error, 1)
			go func() { done <- l.Run(ctx) }()
			var told, all sync.WaitGroup
			for range subscribers {
				s, err := l.Subscribe(ctx, Request{Principal: admin, What: []What{Topology}})
				if err != nil {
					b.Fatal(err)
				}
				told.Add(1)
				all.Go(func() {
					defer s.Close()
					for {
						if _, err := s.Next(ctx); err != nil {
							return
						}
						told.Done()
					}
				})
			}
			told.Wait() // the bookmarks
			for b.Loop() {
				told.Add(subscribers)
				f.add(pod(1))
				told.Wait()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(subscribers), "ns/frame")
			cancel()
			<-done
			all.Wait()
		})
	}
}
