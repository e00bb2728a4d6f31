import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewPartitionReassignment;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.ScramCredentialInfo;
import org.apache.kafka.clients.admin.ScramMechanism;
import org.apache.kafka.clients.admin.UserScramCredentialUpsertion;
import org.apache.kafka.common.ElectionType;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.TopicPartitionInfo;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.utils.Utils;

/**
 * Kafka's own admin client behind a line protocol, so that the tests pay one JVM start instead of one per admin tool.
 * In: `id TAB command TAB arguments…`. Out: `id TAB ok TAB result` or `id TAB error TAB class: message`.
 * Run from source: `java -cp <jars> AdminShell.java <bootstrap>`; it ends when its input ends.
 */
public class AdminShell {
  private static final PrintStream OUT = new PrintStream(System.out, true, StandardCharsets.UTF_8);

  public static void main(String[] args) throws Exception {
    try (Admin admin = Admin.create(Map.of(
            "bootstrap.servers", args[0],
            "reconnect.backoff.max.ms", "500",
            "request.timeout.ms", "3000",
            "default.api.timeout.ms", "15000"));
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8))) {
      for (String line; (line = in.readLine()) != null; ) {
        String[] words = line.split("\t", -1);
        String[] rest = Arrays.copyOfRange(words, 2, words.length);
        Thread worker = new Thread(() -> answer(admin, words[0], words[1], rest));
        worker.setDaemon(true);
        worker.start();
      }
    }
  }

  private static void answer(Admin admin, String id, String command, String[] args) {
    String line;
    try {
      line = "ok\t" + run(admin, command, args);
    } catch (ExecutionException e) {
      line = "error\t" + e.getCause().getClass().getSimpleName() + ": " + oneLine(e.getCause().getMessage());
    } catch (Exception e) {
      line = "error\t" + e.getClass().getSimpleName() + ": " + oneLine(e.getMessage());
    }
    OUT.println(id + "\t" + line);
  }

  private static String oneLine(String text) {
    return String.valueOf(text).replaceAll("\\s+", " ");
  }

  private static String run(Admin admin, String command, String[] a) throws Exception {
    switch (command) {
      case "createTopic": // topic, partitions, replication factor, name=value…
        NewTopic topic = new NewTopic(a[0], Optional.of(Integer.parseInt(a[1])), Optional.of(Short.parseShort(a[2])));
        topic.configs(Arrays.stream(a).skip(3).map(pair -> pair.split("=", 2))
            .collect(Collectors.toMap(pair -> pair[0], pair -> pair[1])));
        admin.createTopics(List.of(topic)).all().get();
        return "";
      case "deleteTopic":
        admin.deleteTopics(List.of(a[0])).all().get();
        return "";
      case "growTopic":
        admin.createPartitions(Map.of(a[0], NewPartitions.increaseTo(Integer.parseInt(a[1])))).all().get();
        return "";
      case "deleteRecords": // topic, partition, before offset
        admin.deleteRecords(Map.of(partition(a), RecordsToDelete.beforeOffset(Long.parseLong(a[2])))).all().get();
        return "";
      case "setTopicConfig": // topic, name, value
        admin.incrementalAlterConfigs(Map.of(new ConfigResource(ConfigResource.Type.TOPIC, a[0]),
            List.of(new AlterConfigOp(new ConfigEntry(a[1], a[2]), AlterConfigOp.OpType.SET)))).all().get();
        return "";
      case "partitions": // topic => leader:replicas:isr of every partition, in order
        return admin.describeTopics(List.of(a[0])).allTopicNames().get().get(a[0]).partitions().stream()
            .map(AdminShell::describe).collect(Collectors.joining(";"));
      case "reassign": // topic, partition, replicas in order of preference
        List<Integer> replicas = Arrays.stream(a[2].split(",")).map(Integer::valueOf).collect(Collectors.toList());
        admin.alterPartitionReassignments(
            Map.of(partition(a), Optional.of(new NewPartitionReassignment(replicas)))).all().get();
        return "";
      case "electPreferred":
        return elect(admin, ElectionType.PREFERRED, partition(a));
      case "electUnclean":
        return elect(admin, ElectionType.UNCLEAN, partition(a));
      case "controller": // the active one; describeCluster names any broker under KRaft
        return String.valueOf(admin.describeMetadataQuorum().quorumInfo().get().leaderId());
      case "nodes":
        return admin.describeCluster().nodes().get().stream().map(node -> String.valueOf(node.id()))
            .collect(Collectors.joining(","));
      case "addScramUser": // SCRAM-SHA-256 or SCRAM-SHA-512, user, password
        admin.alterUserScramCredentials(List.of(new UserScramCredentialUpsertion(
            a[1], new ScramCredentialInfo(ScramMechanism.fromMechanismName(a[0]), 4096), a[2]))).all().get();
        return "";
      case "murmur2": // partitions, key in hex => partition, as Java's producer chooses it
        byte[] key = HexFormat.of().parseHex(a[1]);
        return String.valueOf(Utils.toPositive(Utils.murmur2(key)) % Integer.parseInt(a[0]));
      default:
        throw new IllegalArgumentException("unknown command " + command);
    }
  }

  private static String elect(Admin admin, ElectionType type, TopicPartition partition) throws Exception {
    return String.valueOf(admin.electLeaders(type, Set.of(partition)).partitions().get()
        .get(partition).map(Throwable::getMessage).orElse(""));
  }

  private static TopicPartition partition(String[] a) {
    return new TopicPartition(a[0], Integer.parseInt(a[1]));
  }

  private static String describe(TopicPartitionInfo info) {
    List<String> parts = new ArrayList<>();
    parts.add(info.leader() == null ? "-1" : String.valueOf(info.leader().id()));
    parts.add(info.replicas().stream().map(node -> String.valueOf(node.id())).collect(Collectors.joining(",")));
    parts.add(info.isr().stream().map(node -> String.valueOf(node.id())).collect(Collectors.joining(",")));
    return String.join(":", parts);
  }
}
