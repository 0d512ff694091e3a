# Run with -DOUTPUT=FILE -DFILES=A,B,...: writes a C file that holds the files' bytes (agent/front/pages.h).
string(REPLACE "," ";" FILES "${FILES}")
set(text "/* Made by embed.cmake. */\n#include \"agent/front/pages.h\"\n")
foreach(file IN LISTS FILES)
    get_filename_component(name ${file} NAME)
    string(REGEX REPLACE "[^a-z0-9]" "_" name ${name})
    file(READ ${file} bytes HEX)
    string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
    string(APPEND text "static const char ${name}[] = {${bytes}0};\n"
                       "const struct np_page_file np_page_file_${name} = {${name}, sizeof ${name} - 1};\n")
endforeach()
file(WRITE ${OUTPUT} "${text}")
