import type { SeededRandom } from '../../../support/random.js'
import type { Host } from '../world/host.js'
import type { Pipe } from '../world/pipe.js'
import { type FaultKind, type FaultTargets, nothing } from './fault.js'
import { shuffled } from './shuffled.js'

const someGateway = ({ processes }: FaultTargets, random: SeededRandom): Host => random.pick(processes).host

const someBroker = ({ brokers, nodeIds }: FaultTargets, random: SeededRandom): Host =>
  brokers.hostOf(random.pick(nodeIds))

/** Some connections wait for an occasion that may never come. */
const IN_USE_MS = 2_000
/** Gateways look for each other every two seconds: who has called within this time does more. */
const CALLED_MS = 200

/** A direction of a connection that stands between Castellan and a broker; of one that is in use if there is any. */
function somePipe({ world, brokers, nodeIds }: FaultTargets, random: SeededRandom): Pipe | undefined {
  const hosts = new Set(nodeIds.map(nodeId => brokers.hostOf(nodeId)))
  const wires = shuffled(
    world.network.wires.filter(({ server }) => hosts.has(server.host)),
    random
  )
  const isThere = random.between(0, 1) === 1
  const pipes = wires.map(({ there, back }) => (isThere ? there : back))
  return pipes.find(({ lastArrival }) => lastArrival > world.time.now - IN_USE_MS) ?? pipes[0]
}

const NOTHING_THERE = nothing('there is no connection')

const sentSince = (pipe: Pipe): (() => boolean) => {
  const before = pipe.sentSegments
  return () => pipe.sentSegments > before
}

/** One of the two has tried to reach the other. */
function triesSince({ world: { network } }: FaultTargets, a: Host, b: Host): () => boolean {
  const tries = (): number => network.triesOf(a, b).count + network.triesOf(b, a).count
  const before = tries()
  return () => tries() > before
}

/** Everything between two hosts takes longer. */
const delay: FaultKind = (targets, random) => {
  const [a, b] = [someGateway(targets, random), someBroker(targets, random)]
  const delayMs = random.pick([5, 20, 100, 400, 1_500])
  const { network } = targets.world
  network.delay(a, b, delayMs)
  const what = `${delayMs} ms between ${a.name} and ${b.name}`
  return { what, stop: () => network.delay(a, b, 0), isMet: triesSince(targets, a, b) }
}

/** A connection lets a few bytes through at a time. */
const drip: FaultKind = (targets, random) => {
  const pipe = somePipe(targets, random)
  if (pipe === undefined) return NOTHING_THERE
  const [bytes, everyMs] = [random.pick([1, 7, 100, 1_000]), random.pick([1, 10, 100])]
  pipe.drip(bytes, everyMs)
  return { what: `${bytes} bytes every ${everyMs} ms ${pipe.name}`, stop: () => pipe.cursor(), isMet: sentSince(pipe) }
}

/** A connection breaks in the middle of what it carries. */
const cut: FaultKind = (targets, random) => {
  const pipe = somePipe(targets, random)
  if (pipe === undefined) return NOTHING_THERE
  const bytes = random.pick([0, random.between(1, 60), random.between(60, 2_000)])
  pipe.cutAfter(bytes)
  return { what: `after ${bytes} bytes ${pipe.name}`, isMet: () => pipe.isCut }
}

/** A connection carries nothing any more, and neither end is told. */
const halfOpen: FaultKind = (targets, random) => {
  const pipe = somePipe(targets, random)
  if (pipe === undefined) return NOTHING_THERE
  pipe.block('half-open')
  pipe.opposite?.block('half-open')
  const [there, back] = [sentSince(pipe), sentSince(pipe.opposite!)]
  return { what: pipe.name, isMet: () => there() || back() }
}

/** Nothing gets from one host to the other; the way back is fine. */
const silence: FaultKind = (targets, random) => {
  const { network } = targets.world
  const pair: [Host, Host] = [someGateway(targets, random), someBroker(targets, random)]
  const [from, to] = random.between(0, 1) === 0 ? pair : [pair[1], pair[0]]
  network.block(from, to)
  const what = `from ${from.name} to ${to.name}`
  return { what, stop: () => network.unblock(from, to), isMet: triesSince(targets, from, to) }
}

/** Nothing gets through between two hosts. */
const partition: FaultKind = (targets, random) => {
  const { network } = targets.world
  const [a, b] = [someGateway(targets, random), someBroker(targets, random)]
  network.block(a, b)
  network.block(b, a)
  const stop = (): void => {
    network.unblock(a, b)
    network.unblock(b, a)
  }
  return { what: `between ${a.name} and ${b.name}`, stop, isMet: triesSince(targets, a, b) }
}

/** A process stands still for a while: a long garbage collection, a stopped virtual machine. */
const stall: FaultKind = (targets, random, durationMs) => {
  const gateway = someGateway(targets, random)
  const { time } = targets.world
  time.pause(gateway)
  return { what: `${gateway.name} for ${durationMs} ms`, stop: () => time.resume(gateway) }
}

/** The wall clock jumps; durations are none of its business. */
const clockJump: FaultKind = ({ world }, random) => {
  const jumpMs = random.pick([-86_400_000, -3_600_000, -1_000, 1_000, 3_600_000, 86_400_000])
  world.time.wallOffsetMs += jumpMs
  return { what: `by ${jumpMs / 1_000} s`, stop: () => (world.time.wallOffsetMs -= jumpMs) }
}

/** The process of the gateway ends as if its power were cut, and starts anew. */
const killGateway: FaultKind = ({ processes }, random) => {
  const process = random.pick(processes)
  const restart = process.kill?.()
  return restart === undefined ? nothing(`${process.name} is not there`) : { what: process.name, stop: restart }
}

/** Two gateways, the second of which the first one calls. */
const somePeers = ({ processes }: FaultTargets, random: SeededRandom): [Host, Host] => {
  const [from, to] = shuffled(processes, random)
  return [from!.host, to!.host]
}

/** Nothing gets from one gateway to another; what was sent arrives when that is over. */
const silentPeer: FaultKind = (targets, random) => {
  const { network } = targets.world
  const [from, to] = somePeers(targets, random)
  network.block(from, to)
  const what = `from ${from.name} to ${to.name}`
  return { what, stop: () => network.unblock(from, to), isMet: triesSince(targets, from, to) }
}

/** A connection between two gateways that is in use carries nothing in one direction. Calls on others overtake what is on it. */
const heldCall: FaultKind = ({ world, processes }, random) => {
  const hosts = new Set(processes.map(({ host }) => host))
  const between = world.network.wires.filter(({ client, server }) => hosts.has(client.host) && hosts.has(server.host))
  const pipes = between.flatMap(({ there, back }) => [there, back])
  const inUse = pipes.filter(({ lastArrival }) => lastArrival > world.time.now - CALLED_MS)
  const [pipe] = shuffled(inUse.length > 0 ? inUse : pipes, random)
  if (pipe === undefined) return NOTHING_THERE
  pipe.block('held')
  return { what: pipe.name, stop: () => pipe.unblock('held'), isMet: sentSince(pipe) }
}

/** Calls between two gateways take longer. */
const slowPeer: FaultKind = (targets, random) => {
  const { network } = targets.world
  const [a, b] = somePeers(targets, random)
  const delayMs = random.pick([20, 60, 200, 1_500])
  network.delay(a, b, delayMs)
  const what = `${delayMs} ms between ${a.name} and ${b.name}`
  return { what, stop: () => network.delay(a, b, 0), isMet: triesSince(targets, a, b) }
}

export const harmlessNetworkFaults = { delay, drip, cut, halfOpen, silence, partition, stall, clockJump }

export const networkFaults = { ...harmlessNetworkFaults, killGateway, silentPeer, heldCall, slowPeer }
