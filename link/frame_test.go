package link

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestFrame(t *testing.T) {
	f := relayed(typeRelay, 7, 300, [][]byte{[]byte("two "), nil, []byte("parts")})
	f.header.call, f.left = 1<<31, 5
	raw := f.bytes()
	assert.Len(t, raw, f.size())
	h, body, err := readFrame(bytes.NewReader(raw), MaxBody, true)
	require.NoError(t, err)
	assert.Equal(t, header{typeRelay, 300, 17, 1 << 31, 5, f.sum}, h)
	assert.Equal(t, append(binary.LittleEndian.AppendUint64(nil, 7), "two parts"...), body)

	for at := range raw { // any damage is found
		bad := bytes.Clone(raw)
		bad[at] ^= 0x10
		_, _, err := readFrame(bytes.NewReader(bad), MaxBody, true)
		assert.Error(t, err, at)
	}
	for n := range raw {
		_, _, err := readFrame(bytes.NewReader(raw[:n]), MaxBody, true)
		if n == 0 {
			assert.Equal(t, io.EOF, err)
		} else {
			assert.ErrorIs(t, err, io.ErrUnexpectedEOF, n)
		}
	}
	empty := makeFrame(typeBye, 0, nil)
	h, body, err = readFrame(bytes.NewReader(empty.bytes()), 0, true)
	require.NoError(t, err)
	assert.Equal(t, typeBye, h.typ)
	assert.Nil(t, body)
}

// A length is judged before anything is allocated for it.
func TestFrameLimits(t *testing.T) {
	for typ, limit := range map[frameType]uint32{
		typeHello: maxHello, typeRefusal: maxHello, typePing: maxPing, typePong: maxPing, typeBye: maxPing,
		typeFailure: maxFailure, typeMessage: MaxBody, typeCall: MaxBody, typeReply: MaxBody, typeRelay: MaxBody + 8, typeRelayed: MaxBody + 8,
	} {
		_, err := parseHeader(header{typ: typ, length: limit}.appendTo(nil))
		assert.NoError(t, err, typ)
		_, err = parseHeader(header{typ: typ, length: limit + 1}.appendTo(nil))
		assert.Error(t, err, typ)
	}
	for _, typ := range []frameType{0, typesEnd, 255} {
		_, err := parseHeader(header{typ: typ}.appendTo(nil))
		assert.Error(t, err, typ)
	}
	raw := header{typ: typeMessage, length: MaxBody}.appendTo(nil)
	allocated := testing.AllocsPerRun(10, func() {
		_, _, err := readFrame(bytes.NewReader(raw), maxHello, true)
		assert.Error(t, err)
	})
	assert.Less(t, allocated, 50.0)
	f := makeFrame(typeMessage, 0, [][]byte{make([]byte, MaxBody), {0}})
	assert.True(t, f.tooLong())
}

// FuzzFrames reads any bytes as frames: it does not panic, and what it has read
// can be written again.
func FuzzFrames(f *testing.F) {
	seed := makeFrame(typeCall, 3, [][]byte{[]byte("body")})
	f.Add(append(seed.bytes(), seed.bytes()...), true)
	f.Add(header{typ: typeMessage, length: 1 << 20}.appendTo(nil), false)
	f.Fuzz(func(t *testing.T, b []byte, sums bool) {
		if len(b) >= headerSize && !sums { // so that the fuzzer gets past the checksum
			binary.LittleEndian.PutUint32(b[20:], crc32.Checksum(b[:20], castagnoli))
		}
		in := bufio.NewReader(bytes.NewReader(b))
		for at := 0; ; {
			h, body, err := readFrame(in, 1<<20, sums)
			if err != nil {
				return
			}
			again := append(h.appendTo(nil), body...)
			require.Equal(t, again, b[at:at+len(again)])
			at += len(again)
		}
	})
}

// FuzzBodies reads any bytes as the bodies that the link itself reads.
func FuzzBodies(f *testing.F) {
	f.Add([]byte(`{"fleet":"f","node":1,"uuid":"u","name":"n","min_format":1,"max_format":2,"incarnation":3,"lane":1}`))
	f.Add([]byte(`{"reason":"fleet","message":"no"}`))
	f.Add([]byte(`{"code":40905,"name":"stale_generation","message":"m","outcome":"none","details":{"a":[1,2.5,{"b":1e400}]}}`))
	f.Add(ping{sent: 1, hears: true, up: []NodeID{1, 2}}.encode())
	f.Add(pong{sent: 1, vouch: true}.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, err := parseHello(b); err == nil {
			assert.Less(t, h.Lane, lanes)
			assert.NotEmpty(t, h.UUID)
		}
		if p, err := parsePing(b); err == nil {
			assert.Equal(t, b, p.encode())
		}
		if p, err := parsePong(b); err == nil {
			assert.Equal(t, b, p.encode())
		}
		e := decodeError(b)
		assert.NotEmpty(t, e.Code.Name)
		again := decodeError(encodeError(e))
		assert.Equal(t, e.Code, again.Code)
		for _, typ := range []frameType{typeHello, typeRefusal, typeMessage} {
			frame := makeFrame(typ, 0, [][]byte{b})
			_, _ = readHello(bytes.NewReader(frame.bytes()))
		}
	})
}
