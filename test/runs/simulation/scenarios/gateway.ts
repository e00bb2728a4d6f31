import { History } from '../../../support/history-checker.js'
import { AcceptedRecords } from '../accepted-records.js'
import { isRenumberedFor } from '../departures.js'
import type { GatewayDisk, SentReceipt } from '../gateway-disk.js'
import type { HistoryCheck } from '../history-check.js'
import { HttpGateway } from '../http-gateway.js'
import { Outages } from '../outages.js'
import { idOf } from '../record-text.js'
import type { Setting } from '../scenario.js'
import type { Workload } from '../workload.js'
import { Pusher } from '../workloads/pusher.js'
import type { Manners, PusherDeps, PusherOptions } from '../workloads/pusher-options.js'
import { ReceiptReader } from '../workloads/receipt-reader.js'
import { RetryingClient } from '../workloads/retrying-client.js'
import { logOf } from './library.js'
import { someGatewaySettings, someLogSettings } from './settings.js'

const pauses: Readonly<Record<Manners, readonly [number, number]>> = {
  polite: [20, 300],
  pipelining: [20, 400],
  slow: [100, 600],
  cutting: [100, 1_000],
  deaf: [200, 2_000]
}

/** Its records are told apart by this name. */
const RETRYING = 'retrying'

/** So long requests wait to be admitted, and then their records for capacity: `http.admissionWaitMs` each. */
const CAPACITY_WAIT_MS = 2_000

/** Longer than the clock jumps: keys and outcomes are kept by the wall clock. */
const longKept = { 'idempotency.windowMs': '864000000', 'receipts.retentionMs': '864000000' }

type OwnOptions = Partial<PusherOptions> & Pick<PusherOptions, 'manners'>

/** A gateway, those who push records to it, and what they know of them. */
export interface PushedGateway {
  readonly gateway: HttpGateway
  readonly outages: Outages
  readonly history: History
  /** Clients of all worlds with a gateway: one that sends records again under their keys, and one that asks for receipts. */
  readonly clients: readonly Workload[]
  /** What receipts say, and which records may be there twice. */
  readonly told: Pick<HistoryCheck, 'receipts' | 'mayForget'> & Required<Pick<HistoryCheck, 'mayDouble'>>
  /** When its process ended. Simulated milliseconds. */
  readonly killedAt: readonly number[]
  pusher(own: OwnOptions): Pusher
}

/**
 * @param usual of all clients
 * @param forgets keys on the disk may be forgotten when the process dies
 */
export async function openGateway(
  { world, brokers, answers, random }: Setting,
  settings: Readonly<Record<string, string>>,
  usual: Omit<PusherOptions, 'name' | 'manners' | 'pauseMs'>,
  { disk, forgets = false }: { readonly disk?: GatewayDisk; readonly forgets?: boolean } = {}
): Promise<PushedGateway> {
  const history = new History()
  const accepted = new AcceptedRecords()
  const killedAt: number[] = []
  const receipts: SentReceipt[] = []
  const outages = new Outages(world, answers, 'gateway')
  const onEnded = (mostLost?: number): void => {
    killedAt.push(world.time.now)
    accepted.ended(world.time.now, mostLost)
  }
  let idsInKafka: ReadonlySet<string | undefined> | undefined
  const isInKafka = (id: string): boolean => (idsInKafka ??= new Set(logOf(brokers).map(idOf))).has(id)
  const drawn = random('settings of the gateway')
  const all = { ...someGatewaySettings(drawn), ...(disk && someLogSettings(drawn)), ...longKept, ...settings }
  const options = { bootstrap: brokers.bootstrap, settings: all, outages, onEnded, disk }
  const gateway = await HttpGateway.start(world, 'gateway', options)
  const depsOf = (name: string): PusherDeps => ({
    host: world.host(`client-${name}`),
    gateway,
    answers,
    history,
    trace: world.trace,
    random: random(name),
    now: () => world.time.now,
    accepted,
    receipts,
    isInKafka,
    mayHangUp: sentAt => outages.mayHangUp(sentAt)
  })
  const limitsOf = (own: Partial<PusherOptions>) => {
    const { acceptedWithinMs = CAPACITY_WAIT_MS, answeredWithinMs = Number.POSITIVE_INFINITY } = { ...usual, ...own }
    // The time within which Kafka has to answer begins when there was capacity for the request.
    return { acceptedWithinMs, answeredWithinMs: answeredWithinMs + CAPACITY_WAIT_MS }
  }
  const pusher = (own: OwnOptions): Pusher => {
    const name = own.name ?? own.manners
    return new Pusher({ ...usual, pauseMs: pauses[own.manners], ...own, ...limitsOf(own), name }, depsOf(name))
  }
  const retrying = new RetryingClient(
    { ...usual, pauseMs: pauses.polite, ...limitsOf({}), name: RETRYING, forgets },
    depsOf(RETRYING)
  )
  const reader = new ReceiptReader({ ...depsOf('receipts'), answeredWithinMs: limitsOf({}).acceptedWithinMs })
  const isRenumbered = isRenumberedFor(() => killedAt)
  const told: PushedGateway['told'] = {
    receipts: () => [...reader.told, ...(disk?.receiptStates(receipts) ?? [])],
    // Where the power is cut, the disk fails as well.
    mayForget: () => disk?.mayForget ?? false,
    // Keys in memory end with the process.
    mayDouble: (departures, id) => usual.isDurable !== true && id.startsWith(`${RETRYING}.`) && isRenumbered(departures)
  }
  return { gateway, outages, history, killedAt, told, clients: [retrying, reader], pusher }
}
