import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.Future;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** The client of Kafka itself in the matrix; see clients.py. usage: Matrix write|read SERVERS TOPIC [N] */
public class Matrix {
  public static void main(String[] args) throws Exception {
    Properties p = new Properties();
    p.put("bootstrap.servers", args[1]);
    String sasl = System.getenv("KAFKA_SASL"); // MECHANISM USER TOKEN
    if (sasl != null) {
      String[] is = sasl.split(" ");
      p.put("security.protocol", "SASL_PLAINTEXT");
      p.put("sasl.mechanism", is[0]);
      p.put("sasl.jaas.config", "org.apache.kafka.common.security.scram.ScramLoginModule required username=\"" + is[1] + "\" password=\"" + is[2] + "\";");
    }
    if (args[0].equals("write")) {
      write(p, args[2]);
    } else {
      read(p, args[2], Integer.parseInt(args[3]));
    }
  }

  static byte[] bytes(String s) {
    return s.getBytes(StandardCharsets.ISO_8859_1);
  }

  static void write(Properties p, String topic) throws Exception {
    p.put("compression.type", "snappy");
    try (var producer = new KafkaProducer<>(p, new ByteArraySerializer(), new ByteArraySerializer())) {
      List<Future<?>> sent = new ArrayList<>();
      for (int i = 0; i < 40; i++) {
        byte[] key = i % 10 == 9 ? null : bytes(i % 10 == 8 ? "\u00ff\u00fe" + i : "user-" + i);
        byte[] value = i % 7 == 6 && key != null ? null : bytes(i % 2 == 1 ? "{\"i\":" + i + "}" : "\u0000\u00ffbytes " + i);
        var record = new ProducerRecord<>(topic, key, value);
        if (i % 3 == 0) {
          record.headers().add("client", bytes("java")).add("twice", bytes("1")).add("twice", bytes("\u00ff"));
        }
        sent.add(producer.send(record));
      }
      for (Future<?> f : sent) {
        f.get();
      }
    }
  }

  static String hex(byte[] b) {
    return b == null ? "null" : '"' + HexFormat.of().formatHex(b) + '"';
  }

  static void read(Properties p, String topic, int n) {
    p.put("group.id", "matrix-java-" + topic);
    p.put("auto.offset.reset", "earliest");
    try (var consumer = new KafkaConsumer<>(p, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
      consumer.subscribe(List.of(topic));
      long until = System.currentTimeMillis() + 60_000;
      for (int got = 0; got < n && System.currentTimeMillis() < until; ) {
        for (ConsumerRecord<byte[], byte[]> r : consumer.poll(Duration.ofSeconds(1))) {
          List<String> headers = new ArrayList<>();
          for (Header h : r.headers()) {
            headers.add("[\"" + h.key() + "\"," + hex(h.value()) + "]");
          }
          System.out.printf("{\"partition\":%d,\"offset\":%d,\"key\":%s,\"value\":%s,\"headers\":[%s]}%n",
              r.partition(), r.offset(), hex(r.key()), hex(r.value()), String.join(",", headers));
          got++;
        }
      }
    }
  }
}
