import type { Logged } from '../../../support/history-checker.js'
import type { Brokers, SimulatedTopic } from '../brokers.js'
import { GatewayDisk } from '../gateway-disk.js'
import { bytesText } from '../record-text.js'
import type { Cast, Scenario, Setting } from '../scenario.js'
import { kprfApi } from '../workloads/produce-api.js'
import { usualOfLog, walSettings } from './durable.js'
import { openGateway } from './gateway.js'

/** Its records bear the time at which they were appended, which tells their order over all partitions. */
const growing: SimulatedTopic = {
  name: 'growing',
  partitions: 1,
  config: new Map([['message.timestamp.type', 'LogAppendTime']])
}

async function build(setting: Setting): Promise<Cast> {
  const { brokers, random } = setting
  const settings = { ...walSettings, 'apis.kprf.durability': 'disk' }
  const usual = { ...usualOfLog, topics: [growing.name] }
  const disk = new GatewayDisk(random('disk'))
  const { gateway, history, told, clients, pusher } = await openGateway(setting, settings, usual, { disk })
  const workloads = [
    pusher({ manners: 'polite' }),
    pusher({ manners: 'polite', name: 'kprf', api: kprfApi }),
    pusher({ manners: 'pipelining' }),
    pusher({ manners: 'pipelining', name: 'pipelining-kprf', api: kprfApi }),
    ...clients
  ]
  const places = () => brokers.livesOf(growing.name).flatMap(life => life.records)
  const histories = [{ history, lives: () => [inOrder(brokers)], tolerates: [], ...told, places }]
  return { processes: [gateway], workloads, histories }
}

/** As if all partitions were one, in the order in which records were appended. */
function inOrder(brokers: Brokers): Logged[] {
  const topic = growing.name
  const length = brokers.partitionsOf(topic)
  const partitions = Array.from({ length }, (_, partition) => brokers.cluster.records(topic, partition))
  return partitions.flatMap(records =>
    records.map(({ timestampMs, key, value }) => ({
      topic,
      partition: 0,
      offset: timestampMs,
      key: bytesText(key),
      value: bytesText(value)
    }))
  )
}

export const grown: Scenario = {
  name: 'grown',
  about:
    'APIs that answer when a record is on disk; their topic gets partitions, and records of a key stay in order over all of them',
  topics: [growing],
  build,
  faults: {
    topics: [growing.name],
    growingTopics: [growing.name],
    nodeIds: [1, 2, 3],
    // What was sent waits for a while when the topic grows.
    kinds: [
      'growTopic',
      'growTopic',
      'pauseBroker',
      'pauseBroker',
      'partition',
      'partition',
      'dropResponse',
      'killGateway'
    ],
    meanPauseMs: 1_500
  }
}
