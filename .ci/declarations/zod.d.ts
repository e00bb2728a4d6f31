/** The part of zod's types that the settings name: zod is built in. */
export declare namespace z {
  namespace core {
    type $strict = object
  }
  interface Of<Output, Input = Output> {
    readonly _output: Output
    readonly _input: Input
  }
  type AnyOf = Of<unknown>
  type output<Type extends AnyOf> = Type['_output']
  type input<Type extends AnyOf> = Type['_input']

  type ZodString = Of<string>
  type ZodInt = Of<number>
  type ZodBoolean = Of<boolean>
  type ZodUnknown = Of<unknown>
  type ZodEnum<Values> = Of<Values[keyof Values]>
  type ZodArray<Item extends AnyOf> = Of<Item['_output'][], Item['_input'][]>
  type ZodOptional<Inner extends AnyOf> = Of<Inner['_output'] | undefined, Inner['_input'] | undefined>
  type ZodDefault<Inner extends AnyOf> = Of<Inner['_output'], Inner['_input'] | undefined>
  type ZodPrefault<Inner extends AnyOf> = ZodDefault<Inner>
  type ZodObject<Fields extends Record<string, AnyOf>, _Config> = Of<ObjectOf<Fields, '_output'>, ObjectOf<Fields, '_input'>>

  type OptionalNames<Fields extends Record<string, AnyOf>, Side extends keyof AnyOf> = {
    [Name in keyof Fields]: undefined extends Fields[Name][Side] ? Name : never
  }[keyof Fields]
  type ObjectOf<Fields extends Record<string, AnyOf>, Side extends keyof AnyOf> = Shown<
    { [Name in Exclude<keyof Fields, OptionalNames<Fields, Side>>]: Fields[Name][Side] } & {
      [Name in OptionalNames<Fields, Side>]?: Fields[Name][Side]
    }
  >
  type Shown<Type> = { [Name in keyof Type]: Type[Name] }
}
