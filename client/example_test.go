package client_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"time"

	"ottla/client"
)

// exampleServer stands for a broker at http://127.0.0.1:8080.
func exampleServer(answers ...string) string {
	return httptest.NewServer(&script{answers: answers}).URL
}

func ExampleClient_Produce() {
	c, err := client.New(exampleServer(`200 {"topic":"liked","partition":0,"offset":42,"committed":true}`))
	if err != nil {
		slog.Error("bad server", "error", err)
		return
	}
	ack, err := c.Produce(context.Background(), "liked", client.Record{
		Key:   client.StringData("user-42"),
		Value: client.JSONData([]byte(`{"post":7}`)),
	})
	if err != nil {
		slog.Error("produce", "error", err)
		return
	}
	fmt.Println("written to partition", ack.Partition, "at offset", ack.Offset)
	// Output: written to partition 0 at offset 42
}

func ExampleClient_NewProducer() {
	c, err := client.New(exampleServer(
		`200 {"topic":"liked","committed":true,"count":2,"partitions":[{"partition":0,"base_offset":7,"count":2}],` +
			`"offsets":[{"partition":0,"offset":7},{"partition":0,"offset":8}]}`))
	if err != nil {
		slog.Error("bad server", "error", err)
		return
	}
	p, err := c.NewProducer("liked", client.ProducerConfig{Linger: 5 * time.Millisecond, Compression: client.Zstd})
	if err != nil {
		slog.Error("producer", "error", err)
		return
	}
	for i := range 2 {
		post, err := client.Marshal(map[string]int{"post": i})
		if err != nil {
			slog.Error("marshal", "error", err)
			return
		}
		record := client.Record{Key: client.StringData("user-42"), Value: post}
		err = p.Send(context.Background(), record, func(ack client.Ack, err error) {
			if err != nil {
				slog.Error("not written", "error", err)
				return
			}
			fmt.Println("post", i, "is at offset", ack.Offset)
		})
		if err != nil {
			slog.Error("send", "error", err)
		}
	}
	if err := p.Close(context.Background()); err != nil {
		slog.Error("close", "error", err)
	}
	// Output:
	// post 0 is at offset 7
	// post 1 is at offset 8
}

func ExampleConsumer_Run() {
	c, err := client.New(exampleServer(records("cursor-1", "a", "b"), records("cursor-2", "stop"), "204 "))
	if err != nil {
		slog.Error("bad server", "error", err)
		return
	}
	consumer, err := c.NewConsumer(client.ConsumerConfig{Group: "mailer", Topics: []string{"liked"}})
	if err != nil {
		slog.Error("consumer", "error", err)
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	// A batch is committed when Run asks for the next one.
	_ = consumer.Run(ctx, func(_ context.Context, batch []client.Message) error {
		for _, m := range batch {
			fmt.Println(m.Topic, m.Offset, m.Value)
			if m.Value.String() == "stop" {
				cancel()
			}
		}
		return nil
	})
	_ = consumer.Close(context.Background()) // commits the last one, and leaves the group
	// Output:
	// t 0 a
	// t 1 b
	// t 0 stop
}
