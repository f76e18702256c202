package model

import (
	"fmt"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v4"
)

// zeroByte says which text of a definition holds a zero byte: no program, host or database takes one. at is the key of
// v.
func zeroByte(v reflect.Value, at string) error {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			return zeroByte(v.Elem(), at)
		}
	case reflect.String:
		if strings.ContainsRune(v.String(), 0) {
			return fmt.Errorf("%s holds a zero byte; write it without", at)
		}
	case reflect.Slice:
		for i := range v.Len() {
			if err := zeroByte(v.Index(i), fmt.Sprintf("%s[%d]", at, i)); err != nil {
				return err
			}
		}
	case reflect.Map:
		for _, k := range v.MapKeys() {
			if strings.ContainsRune(k.String(), 0) {
				return fmt.Errorf("a key of %s holds a zero byte; write it without", at)
			}
			if err := zeroByte(v.MapIndex(k), at+"."+k.String()); err != nil {
				return err
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if !f.IsExported() {
				continue
			}
			key, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
			if err := zeroByte(v.Field(i), strings.TrimPrefix(at+"."+key, ".")); err != nil {
				return err
			}
		}
	}
	return nil
}

// CheckName says when a definition calls itself by another name than the one under which it is made: one of both is a
// slip.
func CheckName(name, text string) error {
	var named struct {
		Name *string `yaml:"name"`
	}
	if err := yaml.Load([]byte(text), &named); err != nil || named.Name == nil || *named.Name == name || *named.Name == "" {
		return nil // ParseDefinition tells what is no YAML
	}
	return fmt.Errorf("%w: its name is %s, and it calls itself %q; take name away, or make it under that name", ErrInvalid, name, *named.Name)
}
