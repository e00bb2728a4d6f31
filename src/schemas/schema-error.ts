import { StacklessError } from '../core/errors.js'

/** Why a schema cannot be used, or why data do not fit it. */
export type SchemaErrorReason =
  /** The text that a client sent is no schema of its format, or has more size, depth or references than allowed. */
  | 'invalidSchema'
  /** The registry has no schema with this id. */
  | 'unknownId'
  /** The registry has no such subject, or it has no such version. */
  | 'unknownSubject'
  | 'unknownVersion'
  /** The id belongs to other subjects only. */
  | 'otherSubject'
  /** The request names a schema in a way that cannot be resolved, such as the latest version by a record's name. */
  | 'cannotResolve'
  /** The registry answered with an error; `registry` has its code and its words. */
  | 'refusedByRegistry'
  /** The registry did not answer in time, or its answer made no sense. */
  | 'registryUnreachable'
  /** The schema is new, and the client may not register it. */
  | 'mayNotRegister'
  /** A key or a value does not fit its schema; `path` says where. */
  | 'doesNotFit'
  /** A key or a value is larger, or nested deeper, than allowed. */
  | 'tooLarge'

export interface SchemaErrorDetails {
  readonly subject?: string | undefined
  readonly id?: number | undefined
  /** The error code and the message of the registry's answer. */
  readonly registry?: { readonly code: number; readonly message: string } | undefined
  /** Only with `tooLarge`: the limit of all bytes of a request, if that is exceeded. */
  readonly maxBytes?: number | undefined
  /** Only with `doesNotFit`: the place in the data, such as `items[2].price`; empty: the whole. The message begins with it. */
  readonly path?: string | undefined
}

/** Everything that {@link Schemas.resolve} and `encode` of a resolved schema throw on purpose. */
export class SchemaError extends StacklessError {
  override readonly name = 'SchemaError'
  readonly reason: SchemaErrorReason
  readonly details: SchemaErrorDetails

  constructor(reason: SchemaErrorReason, message: string, details: SchemaErrorDetails = {}) {
    super(message)
    this.reason = reason
    this.details = details
  }
}
