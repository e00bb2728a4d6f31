import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaShareConsumer;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * Kafka's own share consumer: acquires messages and accepts them, one acquisition after another.
 * Run from source: `java -cp <jars> ShareWorker.java <bootstrap> <topic> <group> <count> <warm-up ms> <measure ms>`.
 * Out: `messages TAB milliseconds` of the measured window.
 */
public class ShareWorker {
  public static void main(String[] a) throws Exception {
    Map<String, Object> settings = Map.of(
        "bootstrap.servers", a[0],
        "group.id", a[2],
        "max.poll.records", Integer.parseInt(a[3]),
        "share.acknowledgement.mode", "explicit",
        "share.acquire.mode", "record_limit",
        "key.deserializer", ByteArrayDeserializer.class,
        "value.deserializer", ByteArrayDeserializer.class);
    try (KafkaShareConsumer<byte[], byte[]> consumer = new KafkaShareConsumer<>(settings)) {
      consumer.subscribe(List.of(a[1]));
      while (take(consumer) == 0) { }
      long messages = 0;
      for (long end = after(a[4]); System.nanoTime() < end; ) take(consumer);
      long startedAt = System.nanoTime();
      for (long end = after(a[5]); System.nanoTime() < end; ) messages += take(consumer);
      System.out.println(messages + "\t" + (System.nanoTime() - startedAt) / 1e6);
    }
  }

  private static int take(KafkaShareConsumer<byte[], byte[]> consumer) {
    ConsumerRecords<byte[], byte[]> records = consumer.poll(Duration.ofMillis(1_000));
    for (ConsumerRecord<byte[], byte[]> record : records) consumer.acknowledge(record);
    if (records.isEmpty()) return 0;
    consumer.commitSync().values().forEach(error -> error.ifPresent(e -> { throw e; }));
    return records.count();
  }

  private static long after(String ms) {
    return System.nanoTime() + Long.parseLong(ms) * 1_000_000;
  }
}
