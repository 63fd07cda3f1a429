package catalog

import (
	"errors"
	"fmt"
	"strconv"

	"ottla/actors/metarecord"
	"ottla/protocol"
)

// Kinds of keys in __cluster_metadata.
const (
	keyCluster     = "cluster"      // ["cluster"]
	keyBroker      = "broker"       // ["broker",1]
	keyTopic       = "topic"        // ["topic","<topic id>"]
	keyPartition   = "partition"    // ["partition","<topic id>",0]
	keyResize      = "resize"       // ["resize"]
	keyConsumerIDs = "consumer_ids" // ["consumer_ids"]
	keyToken       = "token"        // ["token","<name>"]
	keySource      = "source"       // ["source","<name>"]

	keySubscription = "subscription" // ["subscription","<name>"]
)

// clusterActions says which kind of key an action may have. An action that is
// not listed was written by a newer build, and is refused.
var clusterActions = map[string]string{
	actionCreateCluster:   keyCluster,
	actionRegisterBroker:  keyBroker,
	actionCreateTopic:     keyTopic,
	actionAlterTopic:      keyTopic,
	actionDeleteTopic:     keyTopic + keyPartition,
	actionForgetTopic:     keyTopic,
	actionPlacePartition:  keyPartition,
	actionReplaceReplica:  keyPartition,
	actionReplicaReplaced: keyPartition,
	actionRemoveBroker:    keyBroker,
	actionResizeCluster:   keyResize,
	actionConsumerIDs:     keyConsumerIDs,
	actionCreateToken:     keyToken,
	actionAlterToken:      keyToken,
	actionDeleteToken:     keyToken,
	actionCreateSource:    keySource,
	actionAlterSource:     keySource,
	actionDeleteSource:    keySource,

	actionCreateSubscription: keySubscription,
	actionAlterSubscription:  keySubscription,
	actionDeleteSubscription: keySubscription,

	actionRegisterNode: keyNode,
	actionPlaceCluster: keyPlaced,
	actionForgetPlaced: keyPlaced,
	actionNoteClusters: keyHad,
	actionNoteTask:     keyTask,
	actionRaiseLevel:   keyLevel,
	actionSealCursors:  keySeal,
}

// The values of __cluster_metadata, each with its format. A value says all there is of its
// thing, and not what has changed: compaction keeps the last record of each key. A program
// that does not know a field refuses the value (metarecord.Decode), so a new field is
// written only at the level of the fleet at which all programs know it.
type (
	clusterValue struct {
		V int `json:"v"`
		ClusterSettings
	}
	brokerValue struct {
		V int `json:"v"`
		Broker
	}
	topicValue struct {
		V       int           `json:"v"`
		Topic   *Topic        `json:"topic,omitempty"`
		Deleted *DeletedTopic `json:"deleted,omitempty"`
	}
	partitionValue struct {
		V int `json:"v"`
		Partition
	}
	consumerIDsValue struct {
		V    int                 `json:"v"`
		Next protocol.ConsumerID `json:"next"`
	}
	tokenValue struct {
		V         int                  `json:"v"`
		Hash      string               `json:"hash"` // of the token, SHA-256 in hexadecimal digits
		Allow     []protocol.Grant     `json:"allow"`
		ExpiresAt int64                `json:"expires_at,omitempty"` // milliseconds since 1970; 0: never
		CreatedAt int64                `json:"created_at"`           // likewise
		Quota     *protocol.TokenQuota `json:"quota,omitempty"`

		Previous      string `json:"previous,omitempty"`       // hash of the secret before
		PreviousUntil int64  `json:"previous_until,omitempty"` // for as long as that is valid; milliseconds since 1970

		// From the level of level.Scram on.
		Scram         *scramValue `json:"scram,omitempty"`
		PreviousScram *scramValue `json:"previous_scram,omitempty"` // of the secret before
	}
)

// Apply changes the state by one record, and is the only method that does. It
// depends on nothing but the state and the record, and on no record that
// compaction may have removed. It fails on a record that this build does not
// understand, and changes nothing then.
func (s *State) Apply(rec metarecord.Record) error {
	if err := s.applyRecord(rec); err != nil {
		return fmt.Errorf("apply %s %s of %s: %w", rec.Action, rec.Key, protocol.MetadataTopic, err)
	}
	return nil
}

func (s *State) applyRecord(rec metarecord.Record) error {
	// An error: a node of a fleet stops on it, because what is built on a state without the
	// record would differ from node to node. A process that is alone passes it over.
	kinds, known := clusterActions[rec.Action]
	if !known {
		return errors.New("unknown action")
	}
	kind, args, err := metarecord.SplitKey(rec.Key)
	if err != nil {
		return err
	}
	// Only a deletion has keys of two kinds.
	if kinds != kind && (rec.Action != actionDeleteTopic || kind != keyTopic && kind != keyPartition) {
		return fmt.Errorf("a key of kind %q does not go with this action", kind)
	}
	// By the key alone: the action says what has happened, for people, and so that a program
	// notices what it does not know.
	switch {
	case kind == keyCluster && len(args) == 0:
		return s.applyCluster(rec.Value)
	case kind == keyBroker && len(args) == 1:
		return s.applyBroker(args[0], rec.Value)
	case kind == keyTopic && len(args) == 1:
		return s.applyTopic(args[0], rec.Value)
	case kind == keyPartition && len(args) == 2:
		return s.applyPartition(args[0], args[1], rec.Value)
	case kind == keyNode && len(args) == 1:
		return s.applyNode(args[0], rec.Value)
	case kind == keyPlaced && len(args) == 1:
		return s.applyPlaced(args[0], rec.Value)
	case kind == keyTask && len(args) == 1:
		return s.applyTask(args[0], rec.Value)
	case kind == keySeal && len(args) == 0:
		return s.applySeal(rec.Value)
	case kind == keyLevel && len(args) == 0:
		return s.applyLevel(rec.Value)
	// Its being there says all.
	case kind == keyHad && len(args) == 0:
		s.hadPlaced = true
		return nil
	case kind == keyResize && len(args) == 0:
		return s.applyResize(rec.Value)
	case kind == keyConsumerIDs && len(args) == 0:
		return s.applyConsumerIDs(rec.Value)
	case kind == keyToken && len(args) == 1:
		return s.applyToken(args[0], rec.Value)
	case kind == keySource && len(args) == 1:
		return s.applySource(args[0], rec.Value)
	case kind == keySubscription && len(args) == 1:
		return s.applySubscription(args[0], rec.Value)
	}
	return errors.New("the key has the wrong number of elements")
}

func (s *State) applyCluster(value []byte) error {
	var v clusterValue
	if err := metarecord.Decode(value, &v); err != nil {
		return err
	}
	// A new value, never a change of the old one: views have that.
	s.settings = &v.ClusterSettings
	return nil
}

func (s *State) applyBroker(id string, value []byte) error {
	if value == nil {
		// Without a value only the key says which one it is.
		n, err := strconv.Atoi(id)
		if err != nil {
			return fmt.Errorf("broker %q is not a number", id)
		}
		delete(s.brokers, n)
		return nil
	}
	var v brokerValue
	if err := metarecord.Decode(value, &v); err != nil {
		return err
	}
	s.brokers[v.ID] = &v.Broker
	return nil
}

// applyTopic makes the topic what the record says, whatever it was: there, deleted or
// neither. Without a value it is forgotten, and its id means nothing any more.
func (s *State) applyTopic(id string, value []byte) error {
	var v topicValue
	if value != nil {
		if err := metarecord.Decode(value, &v); err != nil {
			return err
		}
		// Before anything is changed.
		if (v.Topic == nil) == (v.Deleted == nil) {
			return errors.New("the value must have a topic or a deleted topic, and not both")
		}
	}
	// By the old name, which need not be the new one.
	if old := s.topics[id]; old != nil {
		delete(s.names, old.Name)
	}
	delete(s.topics, id)
	delete(s.deleted, id)
	switch {
	case v.Topic != nil:
		v.Topic.ID = id
		s.topics[id] = v.Topic
		s.names[v.Topic.Name] = id
	case v.Deleted != nil:
		s.deleted[id] = *v.Deleted
	}
	return nil
}

func (s *State) applyPartition(topicID, number string, value []byte) error {
	n, err := strconv.Atoi(number)
	if err != nil || n < 0 {
		return fmt.Errorf("partition %q is not a number", number)
	}
	key := protocol.PartitionID{TopicID: topicID, Partition: n}
	if value == nil {
		delete(s.partitions, key)
		return nil
	}
	var v partitionValue
	if err := metarecord.Decode(value, &v); err != nil {
		return err
	}
	s.partitions[key] = &v.Partition
	return nil
}

func (s *State) applyConsumerIDs(value []byte) error {
	var v consumerIDsValue
	if err := metarecord.Decode(value, &v); err != nil {
		return err
	}
	s.consumerID = v.Next
	return nil
}
