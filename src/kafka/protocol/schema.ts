import type { TopicPartition } from '../../core/model.js'
import { type Limit, type ProtocolReader, type ProtocolWriter, ZERO_UUID } from './encoding.js'

/** One value of Kafka's protocol: how it is written into a request, and how it is read from a response. */
export interface Field<Value> {
  write(writer: ProtocolWriter, value: Value): void
  read(reader: ProtocolReader): Value
}
/** A field that a caller may leave out. */
export interface OptionalField<Value> extends Field<Value | undefined>, IsOptional {}
export interface IsOptional {
  readonly isOptional: true
}
export type ValueOf<Of> = Of extends Field<infer Value> ? Value : never

export const boolean: Field<boolean> = { write: (to, value) => to.boolean(value), read: from => from.boolean() }
export const int8: Field<number> = { write: (to, value) => to.int8(value), read: from => from.int8() }
export const int16: Field<number> = { write: (to, value) => to.int16(value), read: from => from.int16() }
export const int32: Field<number> = { write: (to, value) => to.int32(value), read: from => from.int32() }
/** An i64 that is rounded beyond 2^53, which is exact enough for times. */
export const time: Field<number> = { write: (to, value) => to.int64(value), read: from => from.int64() }
/** An i64; `undefined` beyond 2^53, because an error would fail all partitions of the response. */
export const offset: Field<number | undefined> = {
  write: (to, value) => to.int64(value!),
  read: from => from.safeInt64()
}
export const string: Field<string> = { write: (to, value) => to.string(value), read: from => from.string() }
/** A text that some brokers leave out, although they should not; it is then empty. */
export const name: Field<string> = { ...string, read: from => from.name() }
export const nullableString: Field<string | null> = {
  write: (to, value) => to.nullableString(value),
  read: from => from.nullableString()
}
/** Bytes that are copied when they are read, so that they do not keep the whole response. */
export const bytes: Field<Buffer> = { write: (to, value) => to.bytes(value), read: from => Buffer.from(from.bytes()) }
/** The id of a topic as Kafka prints it; `undefined`: the id of zeroes, which means that there is none. */
export const uuid: Field<string | undefined> = {
  write: (to, value) => to.uuid(value!),
  read(from) {
    const id = from.uuid()
    return id === ZERO_UUID ? undefined : id
  }
}

/** Always written as this value, and passed over when it is read. */
export const constant = <Value>(field: Field<Value>, value: Value): Field<Value> => ({
  write: to => field.write(to, value),
  read: from => field.read(from)
})

/** A field that a caller may leave out. `whenAbsent` is written then. */
export const optional = <Value>(field: Field<Value>, whenAbsent: Value): OptionalField<Value> => ({
  isOptional: true,
  write: (to, value) => field.write(to, value === undefined ? whenAbsent : value),
  read: from => field.read(from)
})

/** A field that not all versions have. */
export const onlyIf = <Of extends Field<unknown>>(isThere: boolean, field: Of, whenAbsent: ValueOf<Of>): Of =>
  isThere ? field : { ...field, write() {}, read: () => whenAbsent }

/** A field of a response that is given in another form. */
export const readAs = <Value, Told>(field: Field<Value>, told: (value: Value) => Told): Field<Told> => ({
  write() {},
  read: from => told(field.read(from))
})

export const array = <Value>(item: Field<Value>, limit?: Limit): Field<readonly Value[]> => ({
  write: (to, values) => to.array(values, value => item.write(to, value)),
  read: from => from.array(() => item.read(from), limit)
})

/** A list that a caller may have as null. */
export const orNull = <Value>(list: Field<readonly Value[]>): Field<readonly Value[] | null> => ({
  write(to, values) {
    if (values === null) to.nullableArray(null, () => {})
    else list.write(to, values)
  },
  read: from => list.read(from)
})

export type Fields = Readonly<Record<string, Field<unknown>>>
type NameOf<Of, Name extends keyof Of> = Name extends `_${string}` ? never : Name
/** The values of fields by their names. A field with `_` before its name is neither given by callers nor told to them. */
export type StructOf<Of extends Fields> = {
  readonly [Name in keyof Of as Of[Name] extends IsOptional ? never : NameOf<Of, Name>]: ValueOf<Of[Name]>
} & {
  readonly [Name in keyof Of as Of[Name] extends IsOptional ? NameOf<Of, Name> : never]?: ValueOf<Of[Name]>
}

export function struct<Of extends Fields>(fields: Of): Field<StructOf<Of>> {
  const { write, readInto } = codecOf(fields)
  return {
    write(to, value) {
      write(to, value)
      to.tags()
    },
    read(from) {
      const value = readInto(from, {})
      from.tags()
      return value as StructOf<Of>
    }
  }
}

/** `[topic, [partition …]]` as one list of partitions with their topics. */
export function byTopic<Of extends Fields>(
  fields: Of,
  limit?: Limit
): Field<readonly ({ readonly topic: string } & StructOf<Of>)[]> {
  const { write, readInto } = codecOf(fields)
  return {
    write: (to, partitions) => to.byTopic(partitions, partition => write(to, partition)),
    read: from => from.byTopic(topic => readInto(from, { topic }) as { topic: string } & StructOf<Of>, limit)
  }
}

/** `[topic, [partition]]`, whose partitions are numbers and no structures, as one list of partitions with their topics. */
export const numbersByTopic: Field<readonly TopicPartition[]> = {
  write: (to, partitions) => to.numbersByTopic(partitions),
  read: from =>
    from
      .structs(() => ({ topic: from.string(), numbers: from.array(() => from.int32()) }))
      .flatMap(({ topic, numbers }) => numbers.map(partition => ({ topic, partition })))
}

function codecOf(fields: Fields) {
  const named = Object.entries(fields)
  return {
    write(to: ProtocolWriter, value: object) {
      for (const [key, field] of named) field.write(to, (value as Record<string, unknown>)[key])
    },
    readInto(from: ProtocolReader, value: Record<string, unknown>): object {
      for (const [key, field] of named) {
        const read = field.read(from)
        if (!key.startsWith('_')) value[key] = read
      }
      return value
    }
  }
}
