import { fromJson, type JsonObject, toBinary } from '@bufbuild/protobuf'
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt'

/** The description of a file in base64, as serializers of Python, Go and .NET register it. */
export const describedFile = (file: object): string =>
  Buffer.from(toBinary(FileDescriptorProtoSchema, fromJson(FileDescriptorProtoSchema, file as JsonObject))).toString(
    'base64'
  )

/** @param type such as `STRING` */
export const field = (name: string, number: number, type: string, more: object = {}): object => ({
  name,
  number,
  type: `TYPE_${type}`,
  label: 'LABEL_OPTIONAL',
  ...more
})

export const message = (name: string, fields: readonly object[], more: object = {}): object => ({
  name,
  field: fields,
  ...more
})
