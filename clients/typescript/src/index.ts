/**
 * Client for Ottla, a Kafka-like broker over plain HTTP. It needs `fetch`, and nothing
 * else: Node 18 or later, and browsers (with the page's origin in `cors.origins`).
 */
export { Client, type ClientOptions, type ConsumerOptions, type ProduceOptions, type ReadOptions, type StreamOptions } from "./client.js";
export { Consumer, type Batch, type Position } from "./consumer.js";
export { OttlaError, TransportError } from "./errors.js";
export { Producer } from "./producer.js";
export type { Bytes, Committed, Delivery, Json, OttlaRecord, Value } from "./records.js";
