package main

import "context"

func idle(context.Context, settings) error    { return nil }
func beFleet(context.Context, settings) error { return nil }
