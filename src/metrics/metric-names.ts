/** What the rooms report, by component and metric name: the text Prometheus shows as HELP, and the table of docs/metrics.md. */
const MEANINGS: ReadonlyMap<string, string> = new Map([
  ['router.unexpected_failures', 'Bugs met by the Router'],
  ['kafka_dispatcher.unexpected_failures', 'Bugs met by a dispatcher'],
  ['kafka_dispatcher.fetches', 'Fetch calls sent'],
  ['kafka_dispatcher.bytes_fetched', 'Bytes of Fetch responses'],
  ['kafka_dispatcher.batched_requests', 'Requests that shared a Fetch call'],
  ['kafka_dispatcher.avoided_fetches', 'Queued requests that the answer to another one served'],
  ['kafka_dispatcher.cache_hits', 'Requests answered from the cache'],
  ['kafka_dispatcher.invalid_messages', 'Partitions whose records were damaged'],
  ['kafka_dispatcher.unknown_topic_or_partition_responses', 'Partitions a broker did not know']
])

/** Every metric known by name, as `component.metric_name`, with its meaning. */
export const metricMeanings = (): ReadonlyMap<string, string> => MEANINGS

/** A sentence for people; metrics of rooms nobody described here still get their name. */
export const helpFor = (component: string, metricName: string): string =>
  MEANINGS.get(`${component}.${metricName}`) ?? `${metricName} of ${component}`
