import { Brokers } from '../brokers.js'
import { isRenumberedFor } from '../departures.js'
import { GatewayDisk } from '../gateway-disk.js'
import type { Cast, Scenario, Setting } from '../scenario.js'
import { kprfApi } from '../workloads/produce-api.js'
import { Producer } from '../workloads/producer.js'
import { usualOfLog, walSettings } from './durable.js'
import { openGateway } from './gateway.js'
import { depsOf, events, logOf, openService, orders, steady } from './library.js'

const topics = [orders, events]

async function build(setting: Setting): Promise<Cast> {
  const { world, brokers, random } = setting
  const standby = await Brokers.start(world, brokers.hosts.length, topics, 'standby')
  // At home in the other cluster, where producer ids begin with the same number.
  const native = await openService(setting, 'native', { prepare: host => standby.takeOver([host]) })
  const settings = { ...walSettings, 'apis.kprf.durability': 'disk' }
  const disk = new GatewayDisk(random('disk'))
  const { gateway, history, told, clients, pusher } = await openGateway(setting, settings, usualOfLog, { disk })
  const workloads = [
    pusher({ manners: 'polite' }),
    pusher({ manners: 'polite', name: 'kprf', api: kprfApi }),
    pusher({ manners: 'pipelining' }),
    ...clients,
    new Producer({ ...steady, name: 'native' }, depsOf(setting, native, history)('native'))
  ]
  // A record that one cluster stored without saying so is written again in the other.
  const lives = () => [logOf(brokers), logOf(standby)]
  const mayDouble = isRenumberedFor(() => standby.changedAt)
  const histories = [{ ...told, history, lives, tolerates: [], mayDouble }]
  return { processes: [gateway], others: [native], workloads, standby, histories }
}

export const switched: Scenario = {
  name: 'switched',
  about:
    'APIs that answer when a record is on disk; another cluster answers at the addresses for a while, and the gateway is killed',
  topics,
  build,
  faults: {
    topics: ['orders', 'events'],
    nodeIds: [1, 2, 3],
    kinds: [
      'anotherCluster',
      'anotherCluster',
      'killGateway',
      'killGateway',
      'dropResponse',
      'stopBroker',
      'partition'
    ],
    meanPauseMs: 2_500
  }
}
