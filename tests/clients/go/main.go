// One client in Go: `clients NAME [helped] ADDRESS`. Prints the data of each message as a line of JSON. `helped` adds
// what docs/clients.md recommends.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"time"

	donovanhide "github.com/donovanhide/eventsource"
	launchdarkly "github.com/launchdarkly/eventsource"
	r3labs "github.com/r3labs/sse/v2"
	gosse "github.com/tmaxmax/go-sse"
)

// The largest event of a hub with its field names: without it, both clients stop for good at an event above 64 KiB.
const eventBytesMax = 2 << 20

func show(data string) {
	line, _ := json.Marshal(data)
	fmt.Println(string(line))
}

func main() {
	name, address := os.Args[1], os.Args[len(os.Args)-1]
	switch name {
	case "r3labs/sse":
		client := r3labs.NewClient(address, r3labs.ClientMaxBufferSize(eventBytesMax))
		for again := true; again; again = len(os.Args) > 3 {
			err := client.SubscribeRaw(func(message *r3labs.Event) { show(string(message.Data)) })
			fmt.Fprintln(os.Stderr, "returned:", err)
			time.Sleep(200 * time.Millisecond)
		}
	case "tmaxmax/go-sse":
		request, _ := http.NewRequestWithContext(context.Background(), http.MethodGet, address, http.NoBody)
		connection := gosse.NewConnection(request)
		connection.Buffer(nil, eventBytesMax)
		connection.SubscribeToAll(func(event gosse.Event) { show(event.Data) })
		fmt.Fprintln(os.Stderr, "returned:", connection.Connect())
	case "launchdarkly/eventsource":
		stream, err := launchdarkly.SubscribeWithURL(address)
		if err != nil {
			panic(err)
		}
		go func() {
			for err := range stream.Errors {
				fmt.Fprintln(os.Stderr, err)
			}
		}()
		for event := range stream.Events {
			show(event.Data())
		}
	case "donovanhide/eventsource":
		stream, err := donovanhide.Subscribe(address, "")
		if err != nil {
			panic(err)
		}
		go func() {
			for err := range stream.Errors {
				fmt.Fprintln(os.Stderr, err)
			}
		}()
		for event := range stream.Events {
			show(event.Data())
		}
	}
}
