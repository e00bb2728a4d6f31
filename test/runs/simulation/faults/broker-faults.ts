import { InvalidRequestError } from '../../../../src/core/errors.js'
import { type FaultKind, type FaultTargets, nothing } from './fault.js'
import { shuffled } from './shuffled.js'

/** Between the end of a fault and a broker that is back. */
const PAUSES_MS = [0, 0, 100, 2_000]

/** A broker's process ends; its partitions move to who is left. It comes back at the same address. */
const stopBroker: FaultKind = ({ brokers, nodeIds }, random) => {
  const nodeId = random.pick(nodeIds)
  const host = brokers.hostOf(nodeId)
  if (brokers.isStopped(nodeId)) return nothing(`${host.name} is stopped already`)
  brokers.stop(nodeId)
  return { what: host.name, stop: () => brokers.restart(nodeId) }
}

/** A broker's process stands still: connections are accepted by its operating system, and nothing is answered. */
const pauseBroker: FaultKind = ({ world, brokers, nodeIds }, random) => {
  const host = brokers.hostOf(random.pick(nodeIds))
  world.time.pause(host)
  return { what: host.name, stop: () => world.time.resume(host) }
}

/** Another replica leads a partition, without anybody stopping. */
const moveLeader: FaultKind = (targets, random) => {
  const { brokers } = targets
  const topic = random.pick(targets.topics)
  const partition = random.between(0, brokers.partitionsOf(topic) - 1)
  const live = liveNodes(targets)
  if (live.length === 0) return nothing('no node is alive')
  const nodeId = random.pick(live)
  try {
    brokers.cluster.moveLeader(topic, partition, nodeId)
  } catch (error) {
    // Its process has begun to start, and stands still.
    if (error instanceof InvalidRequestError) return nothing(error.message)
    throw error
  }
  return { what: `${topic}/${partition} to broker-${nodeId}` }
}

/** A broker answers Metadata as of this moment, however things change. */
const lagBehind: FaultKind = ({ brokers, nodeIds }, random) => {
  const nodeId = random.pick(nodeIds)
  return { what: `broker-${nodeId}`, stop: brokers.cluster.lagBehind(nodeId) }
}

/** A broker comes back at another address; nobody listens at the one it had. */
const changeAddress: FaultKind = ({ brokers, nodeIds }, random) => {
  const nodeId = random.pick(nodeIds)
  if (brokers.isStopped(nodeId)) return nothing(`broker-${nodeId} is stopped`)
  const port = brokers.newPortFor(nodeId)
  brokers.stop(nodeId)
  return { what: `broker-${nodeId} to port ${port}`, stop: () => brokers.restart(nodeId, port) }
}

/** Two brokers come back, each at the address that the other had: who looks for one finds the other. */
const exchangeAddresses: FaultKind = (targets, random) => {
  const [one, other] = shuffled(liveNodes(targets), random)
  if (one === undefined || other === undefined) return nothing('there are no two brokers')
  return { what: `broker-${one} and broker-${other}`, stop: targets.brokers.exchangeAddresses(one, other) }
}

/** All brokers end at once. Each comes back for itself. */
const stopAllBrokers: FaultKind = (targets, random) => {
  const { world, brokers } = targets
  const live = liveNodes(targets)
  if (live.length === 0) return nothing('all are stopped already')
  for (const nodeId of live) brokers.stop(nodeId)
  const pausesMs = live.map(() => random.pick(PAUSES_MS))
  const start = (nodeId: number, index: number): unknown =>
    world.time.schedule(pausesMs[index]!, undefined, 'comes back', () => brokers.restart(nodeId))
  return { what: live.map(nodeId => brokers.hostOf(nodeId).name).join(), stop: () => live.forEach(start) }
}

const liveNodes = ({ brokers, nodeIds }: FaultTargets): readonly number[] =>
  nodeIds.filter(nodeId => !brokers.isStopped(nodeId))

/** All of them are harmless: the replicas that are left have everything that was acknowledged. */
export const harmlessBrokerFaults = {
  stopBroker,
  pauseBroker,
  moveLeader,
  lagBehind,
  changeAddress,
  exchangeAddresses,
  stopAllBrokers
}
