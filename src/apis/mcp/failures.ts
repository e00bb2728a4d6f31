import {
  CastellanError,
  type ErrorCode,
  ForbiddenError,
  KafkaError,
  QuotaExceededError,
  StacklessError
} from '../../core/errors.js'
import { errorCodes } from '../../kafka/error-codes.js'
import { SchemaError } from '../../schemas/schema-error.js'

/** Why a call of a tool fails, where no error of the process says it. */
type OwnCode =
  | 'invalidArguments'
  | 'notBase64'
  | 'unknownGroup'
  | 'unknownSchema'
  | 'tooManyPartitions'
  | 'tooManyCalls'
  | 'noRegistry'
  | 'notShown'
  | 'askManagementPort'
  | 'onThisMachineOnly'
  | 'keyBusy'
  | 'keyUsed'
  | 'keyUnanswered'
  | 'internal'

export type FailureCode = ErrorCode | OwnCode

/** Sentences for agents, who take them for ours: they never contain texts of Kafka, of the registry or of clients. */
const SENTENCES: Readonly<Record<FailureCode, string>> = {
  invalidRequest: 'The arguments name something that there is not, or contradict each other.',
  invalidTopic: 'This is no legal name of a topic: 1 to 249 of a-z A-Z 0-9 . _ - and neither . nor ..',
  invalidConfig: 'The gateway is not configured for this.',
  recordTooLarge: 'The record is larger than the topic allows.',
  recordRejected: 'Kafka refuses the record.',
  batchTooLarge: 'The record is larger than Kafka allows.',
  unknownTopic: 'There is no such topic. list_topics lists those that there are.',
  unknownPartition: 'The topic has no such partition. describe_topic lists its partitions.',
  notAuthorized: 'Kafka does not allow this to the gateway. An operator has to grant it in Kafka.',
  authenticationFailed: 'Kafka refuses the credentials of the gateway. An operator has to correct them.',
  unauthenticated: 'The credentials are no longer valid. Authenticate again.',
  forbidden: 'No rule of the gateway allows this to you (access.rules). An operator can add one.',
  quotaExceeded: 'A quota of the gateway is used up (quotas).',
  issuerUnreachable: 'The credentials cannot be verified now.',
  registryUnreachable: 'The schema registry does not answer now.',
  overloaded: 'The gateway has too much to do.',
  logUnavailable: 'The durable log of the gateway cannot be used now.',
  shuttingDown: 'The gateway is shutting down.',
  peerAway: 'Another gateway that has to be asked does not answer now.',
  brokerUnreachable: 'No broker of Kafka can be reached now. list_problems may say why.',
  clusterChanged: 'The brokers belong to another cluster than before.',
  noLeader: 'A partition has no leader now. describe_topic shows which.',
  timedOut: 'Kafka did not answer in time.',
  aborted: 'The call was ended.',
  protocol: 'Kafka gave an answer that makes no sense.',
  kafka: 'Kafka answered with an error; the member kafka of the result has it.',
  invalidArguments: 'The arguments are not as the input schema of the tool says.',
  notBase64: 'An argument is no base64.',
  unknownGroup: 'There is no such group. list_groups lists those that there are.',
  unknownSchema: 'The schema registry has no schema for this.',
  tooManyPartitions: 'The topic has more partitions than one call reads. Name one of them: partition.',
  tooManyCalls: 'Too many of your calls run at the same time.',
  noRegistry: 'This gateway has no schema registry (schemas.registry.urls).',
  notShown: 'The gateway shows no records of this topic to agents (apis.mcp.values).',
  askManagementPort: 'This gateway does not tell it here. Ask /status.json of the management port.',
  onThisMachineOnly: 'Without credentials, records are looked for on the machine of the gateway only.',
  keyBusy: 'An earlier call with this idempotency_key is still under way.',
  keyUsed: 'This idempotency_key was used for another record. Use a new one for each record.',
  keyUnanswered: 'The gateway that knows this idempotency_key does not say now what became of it.',
  internal: 'The call failed unexpectedly. The log of the gateway says why.'
}

/** Failures that pass by themselves, and the seconds after which a client may try again. */
const RETRY_SECONDS: Partial<Record<FailureCode, number>> = {
  overloaded: 1,
  quotaExceeded: 1,
  tooManyCalls: 1,
  keyBusy: 1,
  keyUnanswered: 5,
  shuttingDown: 5,
  peerAway: 5,
  brokerUnreachable: 5,
  noLeader: 5,
  timedOut: 1,
  registryUnreachable: 5,
  issuerUnreachable: 5,
  logUnavailable: 5
}

/** What Kafka has said of a failed call. */
interface KafkaAnswer {
  /** Only for calls that write: whether the record is in Kafka. */
  readonly persisted?: 'no' | 'unknown'
  /** Words of Kafka, which are no words of ours. */
  readonly kafka?: { readonly errorCode: number; readonly message: string }
}

/** A call fails for a reason that no error of the process has. */
export class ToolError extends StacklessError {
  readonly code: FailureCode
  /** Names of our own arguments that are wrong. */
  readonly names: readonly string[]
  /** Further members of the result. */
  readonly further: KafkaAnswer

  constructor(code: FailureCode, names: readonly string[] = [], further: KafkaAnswer = {}) {
    super(code)
    this.code = code
    this.names = names
    this.further = further
  }
}

/** Result of a failed call. */
export interface ToolFailure extends KafkaAnswer {
  readonly error: FailureCode
  readonly message: string
  readonly retryAfterSeconds?: number
  /** Arguments that are wrong. */
  readonly arguments?: readonly string[]
  /** Words of the schema registry, which are no words of ours. */
  readonly registry?: { readonly errorCode: number; readonly message: string }
}

const MAX_WORDS = 400

/** @returns `undefined`: the error is a bug */
export function failureOf(error: unknown): ToolFailure | undefined {
  if (error instanceof ToolError) {
    const { code, names, further } = error
    return { ...told(code), ...(names.length > 0 && { arguments: names }), ...further }
  }
  if (error instanceof SchemaError) return failureOfSchema(error)
  if (error instanceof QuotaExceededError) return told('quotaExceeded', error.retryAfterSeconds)
  if (error instanceof ForbiddenError) return told('forbidden')
  if (error instanceof KafkaError) {
    const { errorCode, message } = error
    return {
      ...told(codeByKafka.get(errorCode) ?? 'kafka'),
      kafka: { errorCode, message: message.slice(0, MAX_WORDS) }
    }
  }
  return error instanceof CastellanError ? told(error.code as ErrorCode) : undefined
}

export const bugFailure = (): ToolFailure => told('internal')

const codeByKafka: ReadonlyMap<number, FailureCode> = new Map([
  [errorCodes.TOPIC_AUTHORIZATION_FAILED, 'notAuthorized'],
  [errorCodes.GROUP_AUTHORIZATION_FAILED, 'notAuthorized'],
  [errorCodes.CLUSTER_AUTHORIZATION_FAILED, 'notAuthorized'],
  [errorCodes.UNKNOWN_TOPIC_OR_PARTITION, 'unknownTopic'],
  [errorCodes.GROUP_ID_NOT_FOUND, 'unknownGroup']
])

function failureOfSchema({ reason, details: { registry } }: SchemaError): ToolFailure {
  const words = registry && { errorCode: registry.code, message: registry.message.slice(0, MAX_WORDS) }
  const code =
    reason === 'registryUnreachable' || reason === 'refusedByRegistry' ? 'registryUnreachable' : 'unknownSchema'
  return { ...told(code), ...(words && { registry: words }) }
}

function told(error: FailureCode, retryAfterSeconds = RETRY_SECONDS[error]): ToolFailure {
  if (retryAfterSeconds === undefined) return { error, message: SENTENCES[error] }
  return { error, message: `${SENTENCES[error]} Try again in ${retryAfterSeconds} s.`, retryAfterSeconds }
}
