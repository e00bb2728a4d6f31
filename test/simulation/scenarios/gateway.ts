import { History } from '../../support/history-checker.js'
import { AcceptedRecords } from '../accepted-records.js'
import type { GatewayDisk, SentReceipt } from '../gateway-disk.js'
import { HttpGateway } from '../http-gateway.js'
import { Outages } from '../outages.js'
import { idOf } from '../record-text.js'
import type { Setting } from '../scenario.js'
import { someGatewaySettings, someLogSettings } from '../settings.js'
import { Pusher } from '../workloads/pusher.js'
import type { Manners, PusherOptions } from '../workloads/pusher-options.js'
import { logOf } from './library.js'

const pauses: Readonly<Record<Manners, readonly [number, number]>> = {
  polite: [20, 300],
  pipelining: [20, 400],
  slow: [100, 600],
  cutting: [100, 1_000],
  deaf: [200, 2_000]
}

/** So long requests wait to be admitted, and then their records for room: `http.admissionWaitMs` each. */
const CAPACITY_WAIT_MS = 2_000

type OwnOptions = Partial<PusherOptions> & Pick<PusherOptions, 'manners'>

/** A gateway, those who push records to it, and what they know of them. */
export interface PushedGateway {
  readonly gateway: HttpGateway
  readonly outages: Outages
  readonly history: History
  /** Of acknowledged records in the durable log. */
  readonly receipts: readonly SentReceipt[]
  /** When its process ended. Simulated milliseconds. */
  readonly killedAt: readonly number[]
  pusher(own: OwnOptions): Pusher
}

/** @param usual of all clients */
export async function openGateway(
  { world, brokers, answers, random }: Setting,
  settings: Readonly<Record<string, string>>,
  usual: Omit<PusherOptions, 'name' | 'manners' | 'pauseMs'>,
  disk?: GatewayDisk
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
  const all = { ...someGatewaySettings(drawn), ...(disk && someLogSettings(drawn)), ...settings }
  const options = { bootstrap: brokers.bootstrap, settings: all, outages, onEnded, disk }
  const gateway = await HttpGateway.start(world, 'gateway', options)
  const pusher = (own: OwnOptions): Pusher => {
    const name = own.name ?? own.manners
    const all = { acceptedWithinMs: CAPACITY_WAIT_MS, ...usual, pauseMs: pauses[own.manners], ...own, name }
    const { answeredWithinMs = Number.POSITIVE_INFINITY } = all
    return new Pusher(
      // The time within which Kafka has to answer begins when there was room for the request.
      { ...all, answeredWithinMs: answeredWithinMs + CAPACITY_WAIT_MS },
      {
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
      }
    )
  }
  return { gateway, outages, history, killedAt, receipts, pusher }
}
