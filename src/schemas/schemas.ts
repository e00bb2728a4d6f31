import type { MonotonicClock } from '../core/model.js'
import type { SchemasSettings } from './settings.js'
import type { Transport } from './transport.js'

export { SchemaError, type SchemaErrorDetails, type SchemaErrorReason } from './schema-error.js'

/** The formats by the names of Confluent's REST API. The registry says `JSON` for `JSONSCHEMA`. */
export type SchemaFormat = 'AVRO' | 'JSONSCHEMA' | 'PROTOBUF'

export type SubjectStrategy = 'TOPIC_NAME' | 'RECORD_NAME' | 'TOPIC_RECORD_NAME'

/** Another schema that a schema uses by `name`: a named type, a URI, or an imported file. */
export interface SchemaReference {
  readonly name: string
  readonly subject: string
  readonly version: number
}

/** A schema as a client names it: by `schema`, by `id`, by `version`, or by none of them (the latest version). */
export interface WantedSchema {
  readonly topic: string
  readonly part: 'key' | 'value'
  /** The subject; instead of `strategy`. */
  readonly subject?: string | undefined
  /** Makes the subject; default `TOPIC_NAME`. The others need the name of the schema, so `schema` or `id`. */
  readonly strategy?: SubjectStrategy | undefined
  /** Format of `schema`, default `AVRO`. With `id` or `version`: the format that the schema must have. */
  readonly format?: SchemaFormat | undefined
  /** The text of a schema. It is looked up under the subject, and registered when it is not there. */
  readonly schema?: string | undefined
  /** What `schema` uses. */
  readonly references?: readonly SchemaReference[] | undefined
  readonly id?: number | undefined
  readonly version?: number | 'latest' | undefined
  /** Whether the client may register `schema` under a subject; asked only when it is not there yet. */
  readonly mayRegister: (subject: string) => boolean
}

/** A schema that records can be written with. */
export interface ResolvedSchema {
  readonly id: number
  readonly version: number
  readonly subject: string
  readonly format: SchemaFormat
  /**
   * The bytes of a record's key or value: the byte 0, the id, for Protobuf the path of the message, and the payload. The
   * JSON is text, so that integers of 64 bits stay exact. `null` is the text `null`.
   *
   * @throws SchemaError `doesNotFit` or `tooLarge`
   */
  encode(json: Uint8Array | string): Buffer
}

/** What a key or a value in the log says. */
export type Decoded =
  | {
      readonly type: 'decoded'
      readonly format: SchemaFormat
      /** Absent where the record names its schema by a GUID, and the registry does not tell the id. */
      readonly id: number | undefined
      readonly json: string
    }
  | { readonly type: 'undecodable'; readonly cause: string; readonly id?: number | undefined }

export interface SchemasDeps {
  /** Calls the registry. `createTransport` makes the one over HTTP. */
  readonly transport: Transport
  readonly clock: MonotonicClock
}

/** The schemas of one registry, and the three formats. */
export class Schemas {
  constructor(_settings: SchemasSettings, _deps: SchemasDeps) {}

  /** @throws SchemaError */
  async resolve(_wanted: WantedSchema): Promise<ResolvedSchema> {
    throw new Error('not yet')
  }

  /**
   * Reads a key or a value. Never rejects.
   *
   * @param header the value of the record's header `__key_schema_id` or `__value_schema_id`, if it has one
   */
  async decode(_bytes: Uint8Array, _header?: Uint8Array): Promise<Decoded> {
    throw new Error('not yet')
  }

  /** The same without a promise; `undefined`: the schema is not in memory, so use {@link decode}. */
  decodeKnown(_bytes: Uint8Array, _header?: Uint8Array): Decoded | undefined {
    throw new Error('not yet')
  }

  /** Ends the connections to the registry. Calls that wait fail with `registryUnreachable`. */
  close(): void {}
}
