import { fnv1a } from '../../producer/memory/partitioners.js'
import type { Peers } from '../peers/peers.js'

/** Time limit for the lists of groups of the other processes. */
const TIMEOUT_MS = 1_000
/** Groups that one process names to the others. */
const MAX_NAMED = 1_000

/** The groups that processes serve, by cluster. */
export type ServedGroups = ReadonlyMap<string, readonly string[]>

/** Decides which of several processes asks for the lag of a group. */
export interface LagTurns {
  /** The groups that the other processes serve. */
  servedElsewhere(): Promise<readonly ServedGroups[]>
  isOurs(cluster: string, group: string): boolean
}

/** This process is the only one. */
export const alone: LagTurns = { servedElsewhere: async () => [], isOurs: () => true }

/**
 * Shares the groups out among workers, or among gateways that know each other: each group is asked for by the process
 * with the highest hash of its own id and the group. While processes come and go, a group may be asked for by two of them,
 * or by none, for one round.
 */
export class SharedTurns implements LagTurns {
  readonly #peers: Peers<number> | Peers<string>

  /** @param served the groups that this process serves */
  constructor(peers: Peers<number> | Peers<string>, served: () => ServedGroups) {
    this.#peers = peers
    peers.serve(
      'lagGroups',
      () => new Map([...served()].map(([cluster, groups]) => [cluster, groups.slice(0, MAX_NAMED)]))
    )
  }

  async servedElsewhere(): Promise<readonly ServedGroups[]> {
    return (await this.#peers.callOthers('lagGroups', undefined, { timeoutMs: TIMEOUT_MS })) as ServedGroups[]
  }

  isOurs(cluster: string, group: string): boolean {
    const { id, others } = this.#peers
    const own = rankOf(cluster, group, id)
    return (others as readonly (string | number)[]).every(other => {
      const rank = rankOf(cluster, group, other)
      return rank < own || (rank === own && other < id)
    })
  }
}

const rankOf = (cluster: string, group: string, id: string | number): number =>
  fnv1a(Buffer.from(`${cluster}/${group}/${id}`))
