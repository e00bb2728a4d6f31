import { lengthOf, namesOfRecordings, type Recording, recordingOf } from './recording.js'

/** What a gateway exports, and the alerts that it makes fire, and no other. */
export interface Case extends Omit<Recording, 'recordedWith'> {
  readonly name: string
  readonly seconds: number
  readonly fires: readonly string[]
}

/**
 * By recording of `test/runs/real-kafka/record-alerts.ts` and of `record-on-embedded.ts`. `CastellanServerErrors` needs two minutes of them, as long as brokers are
 * paused: it fires in one recording of that kind, and not in another.
 */
const firesIn: Readonly<Record<string, readonly string[]>> = {
  healthy: [],
  // An hour of all APIs, while the machine was busy.
  quiet: [],
  'broker-killed': ['CastellanBrokerDown'],
  'brokers-paused': [
    'CastellanBrokerDown',
    'CastellanBufferFillsUp',
    'CastellanKafkaAway',
    'CastellanRecordsFail',
    'CastellanRecordsLost',
    'CastellanRecordsRefused',
    'CastellanRecordsWait'
  ],
  // A broker is down besides at the end of this one and the next three.
  denied: [
    'CastellanBrokerDown',
    'CastellanDeadLetters',
    'CastellanGroupCommitsFail',
    'CastellanRecordsFail',
    'CastellanRecordsLost',
    'CastellanRecordsRefused',
    'CastellanServerErrors'
  ],
  'group-stuck': ['CastellanBrokerDown', 'CastellanGroupMessagesComeAgain'],
  'log-full': [
    'CastellanBrokerDown',
    'CastellanDurableLogFailed',
    'CastellanDurableLogFillsUp',
    'CastellanDurableRecordsRefused',
    'CastellanDurableRecordsWait',
    'CastellanNotReady',
    'CastellanRecordsRefused',
    'CastellanServerErrors'
  ],
  'log-fills-up': [
    'CastellanDurableLogFailed',
    'CastellanDurableLogFillsUp',
    'CastellanDurableRecordsRefused',
    'CastellanNotReady',
    'CastellanRecordsRefused',
    'CastellanServerErrors'
  ],
  'backlog-old': ['CastellanBacklogNearRetention'],
  // Records whose time is over before there is a leader are withdrawn.
  'log-cut': ['CastellanGroupLogCut', 'CastellanRecordsFail', 'CastellanRecordsRefused'],
  'no-kafka': ['CastellanDown', 'CastellanKafkaAway'],
  'keys-full': ['CastellanKeysFull', 'CastellanRecordsRefused'],
  'planned-restart': [],
  'keys-away': ['CastellanKeysAway', 'CastellanServerErrors'],
  // Records of kprf fail beside it; why was not looked for. The machine was busy.
  bug: ['CastellanBug', 'CastellanRecordsFail', 'CastellanRecordsRefused'],
  'outcomes-lost': ['CastellanOutcomesLost'],
  'log-set-aside': ['CastellanLogSetAside'],
  'lag-unreadable': ['CastellanLagUnreadable'],
  overloaded: ['CastellanOverloaded', 'CastellanRecordsRefused']
}

/** What no honest trouble makes happen within minutes. */
const madeUp: readonly Case[] = [
  {
    name: 'broker-away-for-hours',
    about: 'A broker has been away for two hours.',
    intervalSeconds: 60,
    seconds: 7_200,
    series: {
      'castellan_cluster_brokers_known{cluster="default"}': '3x120',
      'castellan_cluster_brokers_up{cluster="default"}': '2x120'
    },
    fires: ['CastellanBrokerDown']
  },
  {
    name: 'producer-id-refused',
    about: 'Kafka refuses a producer id to one of two clusters.',
    intervalSeconds: 5,
    seconds: 120,
    series: {
      'castellan_producer_id_refused{cluster="default"}': '0x24',
      'castellan_producer_id_refused{cluster="eu"}': '0x6 1x18'
    },
    fires: ['CastellanCannotWrite']
  },
  {
    name: 'producer-id-refused-shortly',
    about: 'Kafka refuses a producer id, and gives one within a minute.',
    intervalSeconds: 5,
    seconds: 300,
    series: { 'castellan_producer_id_refused{cluster="default"}': '0x6 1x11 0x43' },
    fires: []
  },
  {
    name: 'cluster-made-smaller',
    about: 'A broker was removed two hours ago, and the gateway has forgotten it an hour ago.',
    intervalSeconds: 60,
    seconds: 3_600,
    series: {
      'castellan_cluster_brokers_known{cluster="default"}': '2x60',
      'castellan_cluster_brokers_up{cluster="default"}': '2x60'
    },
    fires: []
  },
  {
    name: 'certificate-ends',
    about: 'A certificate has 21 days left, and another one some minutes more.',
    intervalSeconds: 60,
    seconds: 600,
    series: {
      'castellan_certificate_end_timestamp_seconds{of="http.tls"}': '1814500x10',
      'castellan_certificate_end_timestamp_seconds{of="peers.tlsDirectory"}': '1815100x10'
    },
    fires: ['CastellanCertificateEnds']
  },
  {
    name: 'certificate-ends-soon',
    about: 'A certificate has less than three days left, and another one has ended.',
    intervalSeconds: 60,
    seconds: 600,
    series: {
      'castellan_certificate_end_timestamp_seconds{of="http.tls"}': '259300x10',
      'castellan_certificate_end_timestamp_seconds{of="peers.tlsDirectory"}': '0x10'
    },
    fires: ['CastellanCertificateEnds', 'CastellanCertificateEndsSoon']
  },
  {
    name: 'certificates-good',
    about: 'All certificates have more than 21 days left.',
    intervalSeconds: 60,
    seconds: 600,
    series: { 'castellan_certificate_end_timestamp_seconds{of="http.tls"}': '1815100x10' },
    fires: []
  },
  {
    name: 'clock-behind',
    about: 'The clock of the machine is behind that of most gateways.',
    intervalSeconds: 5,
    seconds: 120,
    series: { 'castellan_clock_ahead_seconds{compared_with="gateways",cluster=""}': '0x3 -40x20' },
    fires: ['CastellanClockDiffers']
  },
  {
    name: 'clock-nearly-right',
    about: 'The clock differs by less than 10 s, and by more for moments.',
    intervalSeconds: 5,
    seconds: 200,
    series: {
      'castellan_clock_ahead_seconds{compared_with="gateways",cluster=""}': '9.9x40',
      'castellan_clock_ahead_seconds{compared_with="brokers",cluster="default"}': '0x10 30x5 0x23'
    },
    fires: []
  },
  {
    name: 'topic-missing',
    about: 'Records wait for two topics that Kafka does not have.',
    intervalSeconds: 5,
    seconds: 60,
    series: {
      'castellan_cluster_unknown_topics{cluster="default",topic="ordrs"}': '_x6 1x5',
      'castellan_cluster_unknown_topics{cluster="default",topic="other"}': '_x6 7x5'
    },
    fires: ['CastellanTopicMissing']
  },
  {
    name: 'dispatcher-bug',
    about: 'A dispatcher meets a bug; its counter begins with it.',
    intervalSeconds: 5,
    seconds: 120,
    series: { 'castellan_kafka_dispatcher_unexpected_failures_total{broker_id="1"}': '_x12 1x11' },
    fires: ['CastellanBug']
  },
  {
    name: 'busy',
    about: 'The event loop is nearly always busy.',
    intervalSeconds: 5,
    seconds: 700,
    series: { castellan_event_loop_utilization_ratio: '0.95x140' },
    fires: ['CastellanBusy']
  },
  {
    name: 'keys-away-shortly',
    about: 'A gateway is started again.',
    intervalSeconds: 5,
    seconds: 900,
    series: { 'castellan_http_idempotent_requests_total{result="away"}': '0x10 3+3x3 12x160' },
    fires: []
  },
  {
    name: 'owner-of-keys-away-shortly',
    about: 'For 40 s, half of the requests are answered that the owner of their key is away.',
    intervalSeconds: 5,
    seconds: 600,
    series: {
      'castellan_http_idempotent_requests_total{result="away"}': '0x60 0+5x8 40x51',
      'castellan_http_requests_total{api="kprf",method="POST",status="200"}': '0+5x120',
      'castellan_http_requests_total{api="kprf",method="POST",status="503"}': '0x60 0+5x8 40x51',
      'castellan_refused_records_total{api="kprf",reason="peerAway"}': '0x60 0+5x8 40x51'
    },
    fires: []
  },
  {
    name: 'owner-of-keys-away',
    about: 'A gateway that owns keys is away for minutes, and most requests of the other one have keys.',
    intervalSeconds: 5,
    seconds: 600,
    series: {
      'castellan_http_idempotent_requests_total{result="away"}': '0x12 0+5x107',
      'castellan_http_requests_total{api="kprf",method="POST",status="200"}': '0+5x120',
      'castellan_http_requests_total{api="kprf",method="POST",status="503"}': '0x12 0+5x107',
      'castellan_refused_records_total{api="kprf",reason="peerAway"}': '0x12 0+5x107'
    },
    fires: ['CastellanKeysAway', 'CastellanRecordsRefused', 'CastellanServerErrors']
  },
  {
    name: 'transaction-left-open',
    about: 'A program has died in a transaction, and Kafka aborts it after a quarter of an hour.',
    intervalSeconds: 15,
    seconds: 1_500,
    series: { 'castellan_cluster_open_transaction_age_seconds{cluster="default"}': '0x10 60+15x56 0x30' },
    fires: ['CastellanTransactionOpen']
  },
  {
    name: 'transaction-of-minutes',
    about: 'Programs have transactions of up to two minutes.',
    intervalSeconds: 15,
    seconds: 900,
    series: { 'castellan_cluster_open_transaction_age_seconds{cluster="default"}': '0x10 60+15x4 0x6 60+15x4 0x30' },
    fires: []
  },
  {
    name: 'queue-message-held-long',
    about: 'A worker hangs, and renews the lock of its message.',
    intervalSeconds: 15,
    seconds: 2_100,
    series: { castellan_queues_oldest_held_age_seconds: '0x10 0+15x130' },
    fires: ['CastellanQueueMessageHeldLong']
  },
  {
    name: 'queue-jobs-of-half-an-hour',
    about: 'Workers take up to half an hour for each job.',
    intervalSeconds: 15,
    seconds: 5_400,
    series: { castellan_queues_oldest_held_age_seconds: '0+15x119 0+15x100 0+15x119 0x20' },
    fires: []
  },
  {
    name: 'queue-not-served',
    about: 'The brokers that lead the topic of a queue are away.',
    intervalSeconds: 5,
    seconds: 300,
    series: { castellan_queues_unserved_queues: '0x20 1x40' },
    fires: ['CastellanQueueNotServed']
  },
  {
    name: 'queue-not-served-shortly',
    about: 'A client asks for a queue once that the gateway may not read.',
    intervalSeconds: 5,
    seconds: 300,
    series: { castellan_queues_unserved_queues: '0x20 1x11 0x30' },
    fires: []
  },
  {
    name: 'webhook-endpoint-down',
    about: 'The endpoint of a webhook is down for a quarter of an hour.',
    intervalSeconds: 15,
    seconds: 1_200,
    series: { 'castellan_webhook_failing_seconds{webhook="orders"}': '0x10 0+15x60' },
    fires: ['CastellanWebhookFailing']
  },
  {
    name: 'webhook-endpoint-restarts',
    about: 'The endpoint of a webhook is away for five minutes, and its oldest record waits as long.',
    intervalSeconds: 15,
    seconds: 1_200,
    series: {
      'castellan_webhook_failing_seconds{webhook="orders"}': '0x10 0+15x20 0x40',
      'castellan_webhook_oldest_open_seconds{webhook="orders"}': '0x10 0+15x20 0x40',
      'castellan_webhook_retention_seconds{webhook="orders"}': '604800x80',
      'castellan_webhook_dead_letters_total{webhook="orders"}': '0x80',
      'castellan_webhook_lost_total{webhook="orders"}': '0x80'
    },
    fires: []
  },
  {
    name: 'webhook-stalled',
    about: 'A record of a webhook always fails, and too many wait behind it.',
    intervalSeconds: 15,
    seconds: 600,
    series: { 'castellan_webhook_stalled_partitions{webhook="orders"}': '0x10 1x30' },
    fires: ['CastellanWebhookStalled']
  },
  {
    name: 'webhook-wrong-deploy',
    about: 'An endpoint answers 400 to all records: ten become dead letters, and no more are written.',
    intervalSeconds: 15,
    seconds: 600,
    series: {
      'castellan_webhook_dead_letters_total{webhook="orders"}': '0x10 1+1x9 10x20',
      'castellan_webhook_dead_letters_stopped{webhook="orders"}': '0x20 1x20'
    },
    fires: ['CastellanWebhookDeadLetters', 'CastellanWebhookDeadLettersStopped']
  },
  {
    name: 'webhook-retention',
    about: 'An endpoint is down until retention deletes the records that wait for it.',
    intervalSeconds: 60,
    seconds: 7_200,
    series: {
      'castellan_webhook_oldest_open_seconds{webhook="orders"}': '0x10 0+60x110',
      'castellan_webhook_retention_seconds{webhook="orders"}': '3600x120',
      'castellan_webhook_lost_total{webhook="orders"}': '0x70 5x50'
    },
    fires: ['CastellanWebhookRetention', 'CastellanWebhookLost']
  },
  {
    name: 'queue-messages-archived',
    about: 'Workers fail a message until its last delivery; the counter begins with it.',
    intervalSeconds: 15,
    seconds: 300,
    series: { castellan_queues_archived_messages_total: '_x10 1x10' },
    fires: ['CastellanQueueMessagesArchived']
  },
  {
    name: 'queue-messages-redelivered',
    about: 'Workers release messages, and accept them later; none is archived.',
    intervalSeconds: 60,
    seconds: 3_600,
    series: {
      castellan_queues_redelivered_messages_total: '0+5x60',
      'castellan_queues_settled_messages_total{outcome="done"}': '0+9x60'
    },
    fires: []
  },
  {
    name: 'not-ready-without-kafka',
    about: 'Kafka is away, and all routes keep their records in memory.',
    intervalSeconds: 5,
    seconds: 120,
    series: { castellan_ready: '1x3 0x20', castellan_ready_kafka: '1x3 0x20' },
    fires: ['CastellanNotReady']
  },
  {
    name: 'clients-refused',
    about: 'Clients without rights, beyond their quota or with bodies that cannot be read: they are told.',
    intervalSeconds: 5,
    seconds: 120,
    series: {
      'castellan_refused_records_total{api="kprf",reason="forbidden"}': '0+1x23',
      'castellan_refused_records_total{api="kprf",reason="invalidRequest"}': '0+1x23',
      'castellan_refused_records_total{api="kprf",reason="quotaExceeded"}': '0+1x23',
      'castellan_refused_records_total{api="kprf",reason="unauthenticated"}': '0+1x23'
    },
    fires: []
  },
  {
    name: 'one-record-refused',
    about: 'Kafka does not allow one record, and no other was refused before.',
    intervalSeconds: 5,
    seconds: 120,
    series: { 'castellan_refused_records_total{api="kprf",reason="notAuthorized"}': '0x12 1x11' },
    fires: ['CastellanRecordsRefused']
  },
  {
    name: 'registry-away',
    about: 'The schema registry cannot be asked for a new schema.',
    intervalSeconds: 5,
    seconds: 120,
    series: { 'castellan_refused_records_total{api="confluent",reason="registryUnreachable"}': '0x12 3x11' },
    fires: ['CastellanRegistryAway']
  },
  {
    name: 'probes-only',
    about: 'Probes are answered 503, and clients are served.',
    intervalSeconds: 5,
    seconds: 900,
    series: {
      'castellan_http_requests_total{api="none",method="GET",status="503"}': '0+1x180',
      'castellan_http_requests_total{api="kprf",method="POST",status="200"}': '0+1x180'
    },
    fires: []
  }
]

function firesOf(name: string): readonly string[] {
  const fires = firesIn[name]
  if (fires === undefined) throw new Error(`nothing says which alerts the recording ${name} makes fire`)
  return fires
}

export const cases = (): Case[] => [
  ...namesOfRecordings().map(name => {
    const recording = recordingOf(name)
    const scrapes = Math.max(...Object.values(recording.series).map(lengthOf))
    const seconds = (scrapes - 1) * recording.intervalSeconds
    return { ...recording, name, seconds, fires: firesOf(name) }
  }),
  ...madeUp
]
