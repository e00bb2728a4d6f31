import { WEBHOOK_GROUPS } from '../consumer/group/webhook-groups.js'

/** A webhook as the configuration defines it, checked, with all defaults. */
export interface WebhookDefinition {
  /** `[a-z0-9][a-z0-9-]{0,62}` */
  readonly name: string
  readonly cluster: string
  readonly topic: string
  /** A secret: its path may hold a token. Answers, logs and metrics show its origin. */
  readonly url: string
  /** Start in a topic that the webhook has not read before. */
  readonly start: 'earliest' | 'latest'
  readonly order: 'key' | 'none'
  readonly format: 'value' | 'cloudevents'
  /** Content type of the format `value`. */
  readonly contentType: string
  readonly timeoutMs: number
  /** Limit of the attempts under way of this gateway. */
  readonly maxInFlight: number
  /** The topic of dead letters, on the same cluster. `undefined`: no record is given up. */
  readonly deadLetters: string | undefined
  readonly maxAttempts: number
  readonly paused: boolean
}

/** The parts of a definition that decide which records a webhook reads, and in which group. */
export type ReadByWebhook = Pick<WebhookDefinition, 'name' | 'cluster' | 'topic'>

/** The consumer group of a webhook. */
export const groupOfWebhook = (name: string): string => `${WEBHOOK_GROUPS}${name}`

/** Whether two definitions read the same records: what a client may do with one it may do with the other. */
export const readsSame = (one: ReadByWebhook, other: ReadByWebhook): boolean =>
  one.name === other.name && one.cluster === other.cluster && one.topic === other.topic

/** The part of the url that may be shown. */
export const originOf = ({ url }: WebhookDefinition): string => new URL(url).origin
